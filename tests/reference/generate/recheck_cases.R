# Evaluates every case of tests/reference/cases with the installed metafor at the stored
# components and prints the largest relative differences.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/recheck_cases.R
# needs jsonlite (to read); prints a line per case and stops if one differs by more than 1e-8.

here <- file.path("tests", "reference")
source(file.path(here, "generate", "model.R"))

atoms <- function(x) unlist(lapply(x, function(v) if (is.null(v)) NA else v))
rows <- function(x) do.call(rbind, lapply(x, function(row) as.numeric(atoms(row))))

read_term <- function(term) {
  term$groups <- lapply(term$groups, atoms)
  for (key in c("R", "distance")) if (is.list(term[[key]])) {
    term[[key]]$levels <- atoms(term[[key]]$levels)
    term[[key]]$matrix <- rows(term[[key]]$matrix)
  }
  term
}

# Components as fixed values; a correlation of ID, DIAG and GDIAG is not an argument.
read_fixed <- function(case) {
  fixed <- lapply(case$expected$components, function(x) as.numeric(atoms(x)))
  structs <- unlist(lapply(case$model$random, `[[`, "struct"))
  uncorrelated <- structs %in% c("ID", "DIAG", "GDIAG")
  fixed[setdiff(names(fixed), c("rho", "phi")[which(uncorrelated)])]
}

read_case <- function(path) {
  case <- jsonlite::fromJSON(path, simplifyVector = FALSE)
  if (is.null(case[["expected"]])) return(case)
  case$data <- as.data.frame(lapply(case$data, atoms))
  if (case$model$V$type == "blocks")
    case$model$V$blocks <- lapply(case$model$V$blocks, function(block) {
      list(rows = atoms(block$rows), matrix = rows(block$matrix))
    })
  case$model$random <- lapply(case$model$random, read_term)
  case$model$fixed <- read_fixed(case)
  case
}

difference <- function(ours, stored) {
  stored <- as.numeric(atoms(stored))
  if (all(is.na(stored))) 0 else max(abs(ours - stored) / pmax(abs(stored), 1e-8), na.rm = TRUE)
}

compare <- function(case) {
  res <- suppressWarnings(fixed_fit(case))
  e <- case$expected
  c(ML = difference(res$fit.stats["ll", "ML"], e$fit_stats$ML$ll),
    REML = difference(res$fit.stats["ll", "REML"], e$fit_stats$REML$ll),
    est = difference(c(res$beta), e$coefficients$est), se = difference(res$se, e$coefficients$se),
    QE = difference(res$QE, e$QE), QM = difference(res$QM, e$QM))
}

worst <- 0
for (path in list.files(file.path(here, "cases"), full.names = TRUE)) {
  case <- read_case(path)
  skipped <- is.null(case[["expected"]]) || !is.null(case$model$W)
  found <- if (skipped) NA else compare(case)
  cat(sprintf("%-28s %s\n", sub(".json", "", basename(path), fixed = TRUE),
              if (skipped) "not compared" else paste(names(found), format(found, digits = 1), collapse = "  ")))
  if (!skipped) worst <- max(worst, found)
}
cat("largest relative difference:", format(worst, digits = 2), "\n")
stopifnot(worst < 1e-8)
