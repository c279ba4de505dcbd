# Location-scale models from metafor, with moderators and without; log-likelihood at its estimates
# and at given ones.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/scale.R

suppressMessages(library(metafor))
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))

d <- dat.bangertdrowns2004[c("id", "yi", "vi", "ni", "imag", "grade")]
d$ni100 <- d$ni / 100
control <- list(optimizer = "nlminb", rel.tol = 1e-11)
answer <- function(mods, method) {
  m <- rma(yi, vi, mods = mods, scale = ~ imag + ni100, data = d, method = method, control = control)
  list(loglik = as.numeric(logLik(m)), beta = c(m$beta), se = m$se, alpha = c(m$alpha), tau2 = m$tau2)
}
write_json(list(metafor_version = as.character(packageVersion("metafor")), data = d[!is.na(d$imag), ],
                REML = answer(~ 1, "REML"), ML = answer(~ 1, "ML"),
                REML_mods = answer(~ grade, "REML")), file.path(here, "metafor", "scale.json"))
