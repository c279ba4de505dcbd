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

# How a column has to arrive: whole numbers with gaps are floats, as NaN is one.
kind <- function(x) {
  if (is.character(x)) "text"
  else if (!anyNA(x) && all(x == round(x))) "integer"
  else "float"
}

save_csv <- function(name, dat) {
  plain <- function(x) if (is.factor(x)) as.character(x) else c(unclass(x))
  dat <- as.data.frame(lapply(dat, plain), stringsAsFactors = FALSE)
  names(dat) <- gsub(".", "_", names(dat), fixed = TRUE)
  stopifnot(!vapply(dat, function(x) any(x %in% ""), TRUE))
  numeric <- names(dat)[vapply(dat, is.numeric, TRUE)]
  sums[[name]] <<- list(
    rows = nrow(dat), columns = I(names(dat)), kinds = lapply(dat, kind),
    sums = lapply(dat[numeric], sum, na.rm = TRUE),
    missing = lapply(dat, function(x) sum(is.na(x)))
  )
  dat[] <- lapply(dat, round_trip)
  quoted <- which(vapply(dat, function(x) any(grepl("[,\"]", x)), TRUE))
  write.csv(dat, file.path(out, paste0(name, ".csv")), row.names = FALSE, na = "",
            quote = if (length(quoted)) quoted else FALSE, fileEncoding = "UTF-8")
}

# Lower triangle only; the reader mirrors it.
save_distance <- function(name, distances) {
  stopifnot(isSymmetric(distances), all(diag(distances) == 0))
  sums[[name]]$distance <<- list(levels = nrow(distances), sum = sum(distances))
  distances[upper.tri(distances)] <- NA
  write.csv(data.frame(level = rownames(distances), distances, check.names = FALSE),
            file.path(out, paste0(name, "_distance.csv")), row.names = FALSE, na = "",
            quote = FALSE)
}

# One row per node: its name (a tip) or number, the node above it, the length of the branch between.
save_tree <- function(name, tree, used) {
  labels <- c(tree$tip.label, seq(ape::Ntip(tree) + 1, length.out = tree$Nnode))
  write.csv(data.frame(node = labels[tree$edge[, 2]], parent = labels[tree$edge[, 1]],
                       length = round_trip(tree$edge.length)),
            file.path(out, paste0(name, "_tree.csv")), row.names = FALSE, quote = FALSE)
  shared <- ape::vcv(tree, corr = TRUE)[used, used]
  sums[[name]]$correlation <<- list(
    levels = nrow(shared), sum = sum(shared), log_determinant = c(determinant(shared)$modulus)
  )
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
save_tree("lim2014", tree, sort(unique(lim$species), method = "radix"))

save_csv("bakdash2021", with(dat.bakdash2021, data.frame(
  author = Author, year = Year, study = SampleID, measure = SA.measure.type, effect = Outcome,
  ni = Sample.size.stats, yi = es.z, vi = vi.z
)))

save_csv("aloe2013", escalc("PCOR", ti = tval, ni = n, mi = preds, data = dat.aloe2013))
save_csv("bangertdrowns2004", dat.bangertdrowns2004)
save_csv("bonett2010", escalc("ABT", ai = ai, mi = mi, ni = ni, data = dat.bonett2010))
save_csv("bornmann2007", escalc("OR", ai = waward, n1i = wtotal, ci = maward, n2i = mtotal,
                                data = dat.bornmann2007))
save_csv("bourassa1996", escalc("OR", ai = lh.le, bi = lh.re, ci = rh.le, di = rh.re, add = 1/2,
                                to = "all", data = dat.bourassa1996))
save_csv("craft2003", escalc("COR", ri = ri, ni = ni, data = dat.craft2003))

# "class" is a word of Python's, so no name in a formula.
crede <- escalc("ZCOR", ri = ri, ni = ni, data = dat.crede2010)
names(crede)[names(crede) == "class"] <- "subject"
save_csv("crede2010", crede)

save_csv("curtis1998", escalc("ROM", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i,
                              n2i = n2i, data = dat.curtis1998))

# Log odds ratios of survival at four times, with the covariances of Trikalinos and Olkin (2012,
# appendix): those who live at the later time also lived at the earlier one.  Where a cell is empty
# at one time, 1/2 is added at all times of the trial: the matrix would be no covariance otherwise.
survival <- do.call(rbind, lapply(seq_len(nrow(dat.fine1993)), function(i) {
  counts <- dat.fine1993[i, ]
  ai <- unlist(counts[paste0("e", 1:4, "i")]); ci <- unlist(counts[paste0("c", 1:4, "i")])
  empty <- any(c(ai, ci, counts$nei - ai, counts$nci - ci) == 0, na.rm = TRUE)
  add <- if (empty) 1/2 else 0
  odds <- escalc("OR", ai = ai, n1i = rep(counts$nei, 4), ci = ci, n2i = rep(counts$nci, 4),
                 add = add, to = "all")
  earlier <- pmin(row(diag(4)), col(diag(4))); later <- pmax(row(diag(4)), col(diag(4)))
  shared <- function(x, n) (n + 2 * add) / ((x[earlier] + add) * (n - x[later] + add))
  V <- matrix(shared(ai, counts$nei) + shared(ci, counts$nci), 4,
              dimnames = list(NULL, paste0("v", 1:4, "i")))
  stopifnot(all.equal(c(odds$vi), diag(V)))
  data.frame(study = counts$study, time = 1:4, months = 6 * 1:4, ai, n1i = counts$nei, ci,
             n2i = counts$nci, yi = c(odds$yi), vi = diag(V), V)
}))
save_csv("fine1993", survival[!is.na(survival$yi), ])

save_csv("frank2008", escalc("REH", ai = ct.ins.ins, bi = ct.ins.del, ci = ct.del.del,
                             data = dat.frank2008))
save_csv("hart1999", escalc("IRR", x1i = x1i, x2i = x2i, t1i = t1i, t2i = t2i, data = dat.hart1999))
save_csv("hasselblad1998", escalc("PLO", xi = xi, ni = ni, add = 1/2, to = "all",
                                  data = dat.hasselblad1998))
save_csv("hine1989", escalc("RD", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = dat.hine1989))
save_csv("kalaian1996", dat.kalaian1996)

two <- c("sensitivity", "specificity")
accuracy <- do.call(rbind, lapply(seq_len(nrow(dat.kearon1998)), function(i) {
  row <- dat.kearon1998[i, ]
  data.frame(study = row$id, author = row$study, row[c("year", "patients")], outcome = two,
             xi = c(row$tp, row$tn), ni = c(row$np, row$nn))
}))
save_csv("kearon1998", escalc("PLO", xi = xi, ni = ni, add = 1/2, to = "all", data = accuracy))

# Kind of task and its difficulty, each numbered within the study.
knapp <- dat.knapp2017
number <- function(x) { x <- as.integer(factor(x)); replace(x, is.na(x), 1L) }
within_study <- function(x) ave(seq_along(x), knapp$study, FUN = function(i) number(x[i]))
knapp$condition <- paste0("t", within_study(knapp$task), "d", within_study(knapp$difficulty))
save_csv("knapp2017", knapp)

rivers <- dat.maire2019$dat
save_csv("maire2019", with(rivers, data.frame(
  site, station, site_station, yi = s1, vi = vars1, s2, vars2, s3, vars3
)))
save_distance("maire2019", dat.maire2019$dmat)

save_csv("mccurdy2020", dat.mccurdy2020[c(
  "article", "experiment", "sample", "id", "pairing", "condition", "manip_type", "memory_test",
  "gen_constraint", "stimuli", "ni", "yi", "vi"
)])

# The example of Morris (2008, Organizational Research Methods 11:364), typed from its reproduction
# at https://www.metafor-project.org/doku.php/analyses:morris2008.
morris <- data.frame(
  study = rep(1:5, 2), group = rep(c("treatment", "control"), each = 5),
  m_pre = c(30.6, 23.5, 0.5, 53.4, 35.6, 23.1, 24.9, 0.6, 55.7, 34.8),
  m_post = c(38.5, 26.8, 0.7, 75.9, 36.0, 19.7, 25.3, 0.6, 60.7, 33.4),
  sd_pre = c(15.0, 3.1, 0.1, 14.5, 4.7, 13.8, 4.1, 0.2, 17.3, 3.1),
  sd_post = c(11.6, 4.1, 0.1, 4.4, 4.6, 14.8, 3.3, 0.2, 17.9, 6.9),
  ni = c(20, 50, 9, 10, 14, 20, 42, 9, 11, 14),
  ri = rep(c(0.47, 0.64, 0.77, 0.89, 0.44), 2)
)
save_csv("morris2008", escalc("SMCR", m1i = m_post, m2i = m_pre, sd1i = sd_pre, ni = ni, ri = ri,
                              data = morris[order(morris$study), ]))

# Names of the tree without the numbers of its taxonomy.
short <- function(x) sub("_ott[0-9]+$", "", x)
mates <- escalc("ZCOR", ri = ri, ni = ni, data = dat.moura2021$dat)
mates$species <- short(mates$species.id)
stopifnot(length(unique(mates$species)) == length(unique(mates$species.id)))
save_csv("moura2021", with(mates, data.frame(
  study = study.id, effect = effect.size.id, species, phylum,
  spatially.pooled, temporally.pooled, ri, ni, yi, vi
)))
tree <- ape::compute.brlen(dat.moura2021$tree)  # Grafen's, as in the documentation of the data
tree$tip.label <- short(tree$tip.label)
save_tree("moura2021", tree, sort(unique(mates$species), method = "radix"))

save_csv("normand1999", escalc("MD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i,
                               n2i = n2i, data = dat.normand1999))
obrien <- escalc("PLO", xi = cases, ni = total, data = dat.obrien2003)
obrien$bmi.centred <- obrien$bmi - ave(obrien$bmi, obrien$study)
save_csv("obrien2003", obrien)
save_csv("pignon2000", transform(dat.pignon2000, yi = OmE / V, vi = 1 / V))
save_csv("pritz1997", escalc("PFT", xi = xi, ni = ni, data = dat.pritz1997))
save_csv("raudenbush1985", dat.raudenbush1985)
save_csv("riley2003", dat.riley2003)
save_csv("tannersmith2016", dat.tannersmith2016)
save_csv("yusuf1985", escalc("PETO", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = dat.yusuf1985))

versions <- lapply(c(metadat = "metadat", metafor = "metafor", ape = "ape"),
                   function(p) as.character(packageVersion(p)))
write_json(list(versions = versions, r = as.character(getRversion()), datasets = sums),
           file.path("tests", "reference", "datasets.json"))
