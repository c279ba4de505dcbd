# Location-scale models from metafor, with moderators and without; log-likelihood at its estimates
# and at given ones.  Models that metafor does not have, beside random effects of studies, from
# glmmTMB: sampling variances are 0, the dispersion formula is that of the variance of single rows.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/scale.R

suppressMessages({library(metafor); library(glmmTMB)})
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))

d <- dat.bangertdrowns2004[c("id", "yi", "vi", "ni", "imag", "grade")]
d$ni100 <- d$ni / 100
control <- list(optimizer = "nlminb", rel.tol = 1e-11)
answer <- function(mods, method) {
  m <- rma(yi, vi, mods = mods, scale = ~ imag + ni100, data = d, method = method, control = control)
  list(loglik = as.numeric(logLik(m)), beta = c(m$beta), se = m$se, alpha = c(m$alpha), tau2 = m$tau2)
}
schools <- dat.konstantopoulos2011
schools$decade <- (schools$year - 1990) / 10
beside <- function(reml) {
  m <- glmmTMB(yi ~ 1 + (1 | district), dispformula = ~ decade, data = schools, REML = reml,
               control = glmmTMBControl(optCtrl = list(rel.tol = 1e-13, iter.max = 1000, eval.max = 1000)))
  list(loglik = as.numeric(logLik(m)), beta = unname(fixef(m)$cond),
       sigma2 = unname(c(VarCorr(m)$cond$district)), sd = predict(m, type = "disp"))
}

# twice what the log-likelihood loses with a scale coefficient held: sigma2 and the slope of wic make
# up for each other without end
wic <- subset(dat.bangertdrowns2004, !is.na(wic) & !is.na(length))
writing <- function(alpha, start) {
  rma(yi, vi, mods = ~ length, scale = ~ wic + length, data = wic, alpha = alpha,
      control = list(alpha.init = start, optimizer = "nlminb", rel.tol = 1e-9))
}
best <- writing(c(NA, NA, NA), c(-4.5, 1, 0))
lost <- function(alpha, start) 2 * c(logLik(best) - logLik(writing(alpha, start)))
held <- c(-10, -20, -25)
profiles <- list(
  log_sigma2 = held, lost = sapply(held, function(a) lost(c(a, NA, NA), c(a, -a - 2, 0))),
  wic = c(5, 10, 25), lost_wic = sapply(c(5, 10, 25), function(a) lost(c(NA, a, NA), c(-a - 2, a, 0))),
  length = c(-0.17, -0.16, 0.2),
  lost_length = c(lost(c(NA, NA, -0.17), c(-22, 20, -0.17)), lost(c(NA, NA, -0.16), c(-22, 20, -0.16)),
                  lost(c(NA, NA, 0.2), c(-6, 1, 0.2))))

write_json(list(metafor_version = as.character(packageVersion("metafor")),
                glmmtmb_version = as.character(packageVersion("glmmTMB")), data = d[!is.na(d$imag), ],
                REML = answer(~ 1, "REML"), ML = answer(~ 1, "ML"),
                REML_mods = answer(~ grade, "REML"), beside_ml = beside(FALSE),
                beside_reml = beside(TRUE), profiles = profiles), file.path(here, "metafor", "scale.json"))
