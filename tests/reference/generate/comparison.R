# Likelihood-ratio tests (anova) and information criteria (fitstats) of metafor for nested models of
# Konstantopoulos (2011) and Berkey et al. (1998).
#
# usage (from the root of the repository):  Rscript tests/reference/generate/comparison.R

suppressMessages(library(metafor))
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))
control <- list(optimizer = "nlminb", rel.tol = 1e-10)

k <- read.csv(file.path("mvmeta", "datasets", "konstantopoulos2011.csv"))
b <- read.csv(file.path("mvmeta", "datasets", "berkey1998.csv"))
fit <- function(d, mods, random, method, ...) rma.mv(yi, vi, mods = mods, random = random, data = d,
  method = method, control = control, ...)

models <- function(method) list(
  three = fit(k, ~ 1, ~ 1 | district/school, method),
  two = fit(k, ~ 1, ~ 1 | district, method),
  fixed = rma.mv(yi, vi, data = k, method = method))
reml <- models("REML"); ml <- models("ML")
ml$year <- fit(k, ~ year, ~ 1 | district/school, "ML")
un <- fit(b, ~ outcome - 1, ~ outcome | trial, "REML", struct = "UN")
diag <- fit(b, ~ outcome - 1, ~ outcome | trial, "REML", struct = "DIAG")

stats <- function(list) lapply(list, function(m) {
  s <- fitstats(m)[, 1]
  list(llf = s[["logLik:"]], aic = s[["AIC:"]], bic = s[["BIC:"]], aicc = s[["AICc:"]])
})
lrt <- function(full, restricted) {
  a <- anova(full, restricted)
  list(statistic = a$LRT, pvalue = a$pval, df = a$parms.f - a$parms.r)
}

write_json(list(metafor_version = as.character(packageVersion("metafor")),
                r_version = paste(R.version$major, R.version$minor, sep = "."),
                reml = stats(reml), ml = stats(ml),
                lrt = list(three_two = lrt(reml$three, reml$two), three_fixed = lrt(reml$three, reml$fixed),
                           year_three = lrt(ml$year, ml$three), un_diag = lrt(un, diag))),
           file.path(here, "metafor", "comparison.json"))
