# What every script does: read the problem, time the fit, print one line of JSON.
#   Rscript <script>.R FOLDER REPEATS [OPTION]
suppressMessages(library(jsonlite))
args <- commandArgs(trailingOnly = TRUE)
folder <- args[1]; repeats <- as.integer(args[2]); option <- if (length(args) > 2) args[3] else ""
facts <- fromJSON(file.path(folder, "problem.json"))
family <- facts$family
d <- read.csv(file.path(folder, "data.csv"))
for (g in intersect(c("study", "id", "species", "phylo", "outcome"), names(d))) d[[g]] <- factor(d[[g]])
x <- if (length(facts$covariates)) facts$covariates else "1"
mods <- reformulate(x)
full <- reformulate(x, response = "y")

known_v <- function() {
  if (!file.exists(file.path(folder, "v.csv"))) return(d$v)
  e <- read.csv(file.path(folder, "v.csv"))
  as.matrix(Matrix::sparseMatrix(i = e$i, j = e$j, x = e$v))
}

peak_mb <- function() {
  lines <- readLines("/proc/self/status")
  as.numeric(gsub("[^0-9]", "", grep("VmHWM", lines, value = TRUE))) / 1024
}

# fit() is timed; answer(m) gives list(loglik, components)
report <- function(fit, answer) {
  seconds <- numeric(0)
  for (r in seq_len(repeats)) {
    gc()
    t <- system.time(m <- suppressWarnings(suppressMessages(fit())))
    seconds <- c(seconds, t[["user.self"]] + t[["sys.self"]])
    if (sum(seconds) > 10) break
  }
  cat(toJSON(c(list(seconds = seconds, peak_mb = peak_mb()), answer(m)), digits = NA, auto_unbox = TRUE), "\n")
}
