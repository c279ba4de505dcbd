# Fits designs read from JSON with metafor's rma.mv and its defaults; one line of JSON each.
# Rscript metafor_fit.R designs.json results.jsonl
suppressMessages({library(metafor); library(jsonlite)})
args <- commandArgs(trailingOnly = TRUE)
designs <- fromJSON(args[1], simplifyVector = FALSE)
out <- file(args[2], open = "at")

as_matrix <- function(rows) do.call(rbind, lapply(rows, function(r) as.numeric(unlist(r))))

fit <- function(d) {
  data <- as.data.frame(lapply(d$data, unlist), stringsAsFactors = TRUE)
  known <- lapply(d$R, function(r) {
    m <- as_matrix(r$matrix)
    dimnames(m) <- list(unlist(r$levels), unlist(r$levels))
    m
  })
  call <- list(yi = unlist(d$y), V = as_matrix(d$v), mods = as_matrix(d$x), intercept = FALSE,
               random = lapply(d$random, as.formula), data = data, method = d$method)
  if (length(d$struct) > 0) call$struct <- unlist(d$struct)
  if (length(known) > 0) {
    call$R <- known
    call$Rscale <- FALSE
  }
  setTimeLimit(elapsed = 60, transient = TRUE)
  on.exit(setTimeLimit(elapsed = Inf))
  do.call(rma.mv, call)
}

for (d in designs) {
  notes <- character(0)
  began <- proc.time()[["elapsed"]]
  res <- tryCatch(
    withCallingHandlers(fit(d), warning = function(w) {
      notes <<- c(notes, conditionMessage(w))
      invokeRestart("muffleWarning")
    }),
    error = function(e) e)
  record <- list(index = d$index, seconds = proc.time()[["elapsed"]] - began, warnings = notes)
  if (inherits(res, "error")) {
    record$error <- conditionMessage(res)
  } else {
    record <- c(record, list(loglik = as.numeric(logLik(res)), sigma2 = res$sigma2,
                             tau2 = res$tau2, rho = res$rho,
                             gamma2 = res$gamma2, phi = res$phi,
                             levels = unlist(res$g.levels.f[[1]])))
  }
  writeLines(toJSON(record, digits = NA, auto_unbox = TRUE, na = "null", force = TRUE), out)
  flush(out)
}
close(out)
