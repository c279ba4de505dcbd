# Small-study effects: rma.mv with standard errors (PET) or variances (PEESE) as a moderator and
# CR2 tests by clubSandwich, and metafor's regtest for a model of one level.  At the level of studies:
# regression of aggregated estimates on their standard errors (rma.uni), and rma.mv of the rows with
# the standard errors of the aggregated estimates, or means of 1/sqrt(n), as a moderator.
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

offenders <- escalc(yi = yi, vi = vi, data = dat.assink2016)
V <- vcalc(vi, cluster = study, obs = esid, data = offenders, rho = 0.6)
means <- aggregate(offenders, cluster = study, V = V)
sharp <- list(threshold = 1e-14, maxiter = 10000)
aggregated <- rma(yi, vi, mods = ~ sqrt(vi), data = means, control = sharp)
offenders$sei <- sqrt(means$vi)[match(offenders$study, means$study)]
offenders$other <- 1 / sqrt(20 + offenders$year + offenders$esid %% 3)
offenders$mean_other <- ave(offenders$other, offenders$study)
in_rows <- function(mods) {
  m <- rma.mv(yi, V, mods = mods, random = ~ 1 | study/id, data = offenders)
  r <- robust(m, cluster = offenders$study, clubSandwich = TRUE)
  list(est = c(r$beta), se = r$se, t = r$zval, df = r$ddf, p = r$pval, sigma2 = m$sigma2)
}

write_json(list(metafor_version = as.character(packageVersion("metafor")),
                clubsandwich_version = as.character(packageVersion("clubSandwich")),
                pet = answer(pet), peese = answer(peese),
                egger = list(statistic = egger$zval, p = egger$pval, df = egger$dfs,
                             limit = egger$est, ci = I(c(egger$ci.lb, egger$ci.ub))),
                studies = list(study = means$study, yi = c(means$yi), vi = means$vi),
                aggregated = list(est = c(aggregated$beta), se = aggregated$se, tau2 = aggregated$tau2),
                studies_pet = in_rows(~ sei), studies_peese = in_rows(~ I(sei^2)),
                studies_year = in_rows(~ year + sei), other = offenders$other,
                studies_other = in_rows(~ mean_other)),
           file.path(here, "metafor", "small_study.json"))
