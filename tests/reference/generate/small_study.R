# Small-study effects: rma.mv with standard errors (PET) or variances (PEESE) as a moderator and
# CR2 tests by clubSandwich, and metafor's regtest for a model of one level.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/small_study.R

suppressMessages({library(metafor); library(clubSandwich)})
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))

schools <- dat.konstantopoulos2011
answer <- function(m) {
  r <- robust(m, cluster = schools$district, clubSandwich = TRUE)
  list(est = c(r$beta), se = r$se, t = r$zval, df = r$ddf, p = r$pval, sigma2 = m$sigma2)
}
pet <- rma.mv(yi, vi, mods = ~ sqrt(vi), random = ~ 1 | district/school, data = schools)
peese <- rma.mv(yi, vi, mods = ~ vi, random = ~ 1 | district/school, data = schools)

bcg <- escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
egger <- regtest(rma(yi, vi, data = bcg, test = "t", control = list(threshold = 1e-12, maxiter = 1000)))

write_json(list(metafor_version = as.character(packageVersion("metafor")),
                clubsandwich_version = as.character(packageVersion("clubSandwich")),
                pet = answer(pet), peese = answer(peese),
                egger = list(statistic = egger$zval, p = egger$pval, df = egger$dfs,
                             limit = egger$est, ci = I(c(egger$ci.lb, egger$ci.ub)))),
           file.path(here, "metafor", "small_study.json"))
