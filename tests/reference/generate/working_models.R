# Working models of Pustejovsky & Tipton (2022) by metafor with cluster-robust tests by clubSandwich:
# correlated and hierarchical effects (CHE), subgroup correlated effects (SCE).
#
# usage (from the root of the repository):  Rscript tests/reference/generate/working_models.R

suppressMessages({library(metafor); library(clubSandwich)})
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))
options(warn = -1)

tight <- list(rel.tol = 1e-10, iter.max = 2000, eval.max = 5000)
answer <- function(m, cluster) {
  tests <- coef_test(m, vcov = "CR2", cluster = cluster)
  out <- list(est = tests$beta, se = tests$SE, t = tests$tstat, df = tests$df_Satt, p = tests$p_Satt,
              model_se = m$se, loglik = c(logLik(m)), sigma2 = m$sigma2, tau2 = m$tau2)
  if (m$p > 1) {
    joint <- Wald_test(m, constraints = constrain_zero(2:m$p), vcov = "CR2", cluster = cluster)
    out$joint <- list(F = joint$Fstat, df = joint$df_num, df_denom = joint$df_denom, p = joint$p_val)
  }
  out
}

a <- dat.assink2016
a$deltype <- factor(a$deltype)
V <- vcalc(vi, cluster = study, obs = esid, data = a, rho = 0.6)
# One study alone has covert effects: nothing there tells its own effect from the category's.
b <- droplevels(a[a$deltype != "covert", ])
S <- vcalc(vi, cluster = study, subgroup = deltype, obs = esid, data = b, rho = 0.6)
che <- rma.mv(yi, V, random = ~ 1 | study/esid, data = a, control = tight)
che_mods <- rma.mv(yi, V, mods = ~ deltype + year, random = ~ 1 | study/esid, data = a, control = tight)
sce <- rma.mv(yi, S, mods = ~ deltype - 1, random = ~ deltype | study, struct = "DIAG", data = b,
              control = tight)

write_json(list(metafor_version = as.character(packageVersion("metafor")),
                clubsandwich_version = as.character(packageVersion("clubSandwich")),
                che = answer(che, a$study), che_mods = answer(che_mods, a$study),
                sce = answer(sce, b$study), sce_levels = levels(b$deltype)),
           file.path(here, "metafor", "working_models.json"))
