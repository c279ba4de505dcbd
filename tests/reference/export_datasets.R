# Writes the csv files of mvmeta/datasets and the numbers its tests compare with.
#
# usage (from the root of the repository):  Rscript tests/reference/export_datasets.R
# needs metadat (1.2-0 was used), metafor (3.8-1) and ape (5.7-1).
#
# Only values are taken: the descriptions beside the csv files are our own and are
# written by hand.  Columns that the source does not have (effect sizes computed from
# counts, means or correlations; identifiers) are computed here and documented there.

suppressMessages({
  library(metadat)
  library(metafor)
})

source(file.path("tests", "reference", "generate", "json.R"))
out <- file.path("mvmeta", "datasets")
sums <- list()

round_trip <- function(x) if (is.double(x)) replace(shortest(x), is.na(x), NA) else x

save_csv <- function(name, dat) {
  dat <- as.data.frame(lapply(dat, function(x) c(unclass(x))), stringsAsFactors = FALSE)
  numeric <- names(dat)[vapply(dat, is.numeric, TRUE)]
  sums[[name]] <<- list(
    rows = nrow(dat), columns = I(names(dat)),
    sums = lapply(dat[numeric], sum, na.rm = TRUE),
    missing = lapply(dat, function(x) sum(is.na(x)))
  )
  dat[] <- lapply(dat, round_trip)
  quoted <- which(vapply(dat, function(x) any(grepl("[,\"]", x)), TRUE))
  write.csv(dat, file.path(out, paste0(name, ".csv")), row.names = FALSE, na = "",
            quote = if (length(quoted)) quoted else FALSE, fileEncoding = "UTF-8")
}

# Lower triangle only; the reader mirrors it.
save_correlation <- function(name, matrix) {
  stopifnot(isSymmetric(matrix), all(diag(matrix) == 1))
  sums[[name]]$correlation <<- list(
    levels = nrow(matrix), sum = sum(matrix), log_determinant = c(determinant(matrix)$modulus)
  )
  text <- matrix(round_trip(c(matrix)), nrow(matrix), dimnames = dimnames(matrix))
  text[upper.tri(text)] <- NA
  write.csv(data.frame(level = rownames(text), text, check.names = FALSE),
            file.path(out, paste0(name, "_correlation.csv")), row.names = FALSE, na = "",
            quote = FALSE)
}

save_csv("toy", data.frame(
  Study = c(1L, 1L, 1L, 2L, 2L), Category = c("A", "B", "C", "A", "B"),
  d = c(0, 5, 10, 20, 25), Variance = 0.1, id = 1:5
))

save_csv("konstantopoulos2011", dat.konstantopoulos2011)
save_csv("assink2016", dat.assink2016)
save_csv("berkey1998", dat.berkey1998)

bcg <- escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
save_csv("bcg", bcg)

senn <- escalc("MN", mi = mi, sdi = sdi, ni = ni, data = dat.senn2013)
save_csv("senn2013", senn)

occasions <- data.frame(time = 1:4, months = c(3, 6, 12, NA))
long <- do.call(rbind, lapply(seq_len(nrow(dat.ishak2007)), function(i) {
  row <- dat.ishak2007[i, ]
  data.frame(study = row$study, occasions,
             yi = unlist(row[paste0("y", 1:4, "i")]), vi = unlist(row[paste0("v", 1:4, "i")]),
             mdur = row$mdur, mbase = row$mbase)
}))
save_csv("ishak2007", long[!is.na(long$yi), ])

lim <- escalc("ZCOR", ri = ri, ni = ni, data = dat.lim2014$o_o_adj)
lim$year <- as.integer(ifelse(lim$year == "unpub", NA, lim$year))
lim$effect <- seq_len(nrow(lim))
save_csv("lim2014", lim)
# Grafen's branch lengths: the source has the topology only.
tree <- ape::compute.brlen(dat.lim2014$o_o_adj_tree)
phylogeny <- ape::vcv(tree, corr = TRUE)
used <- sort(unique(lim$species), method = "radix")
save_correlation("lim2014", phylogeny[used, used])

save_csv("bakdash2021", with(dat.bakdash2021, data.frame(
  author = Author, year = Year, study = SampleID, measure = SA.measure.type, effect = Outcome,
  ni = Sample.size.stats, yi = es.z, vi = vi.z
)))

versions <- lapply(c(metadat = "metadat", metafor = "metafor", ape = "ape"),
                   function(p) as.character(packageVersion(p)))
write_json(list(versions = versions, r = as.character(getRversion()), datasets = sums),
           file.path("tests", "reference", "datasets.json"))
