# Leave-one-out, cumulative fits, covariance ratios and variance inflation from metafor, for models
# that its functions for univariate models cover; vif also for rma.mv.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/deletion.R

suppressMessages(library(metafor))
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))
control <- list(threshold = 1e-12, maxiter = 1000)

bcg <- escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)
one <- rma(yi, vi, data = bcg, control = control)
gone <- leave1out(one)
grown <- cumul(one, order = bcg$year)
moderated <- rma(yi, vi, mods = ~ ablat + year, data = bcg, control = control)

schools <- dat.konstantopoulos2011
schools$half <- factor(schools$school %% 3)
three <- rma.mv(yi, vi, mods = ~ year + half, random = ~ 1 | district/school, data = schools)
single <- vif(three)
joint <- vif(three, btt = list(2, 3:4))

# The study whose removal leaves a category without rows has none.
offenders <- rma.mv(yi, vi, mods = ~ deltype, random = ~ 1 | study/esid, data = dat.assink2016)
apart <- rstudent(offenders, cluster = dat.assink2016$study, reestimate = TRUE)$cluster$X2

write_json(list(
  metafor_version = as.character(packageVersion("metafor")),
  leave1out = list(estimate = gone$estimate, se = gone$se, tau2 = gone$tau2),
  cumul = list(estimate = grown$estimate, se = grown$se, tau2 = grown$tau2),
  cluster_x2 = apart,
  cov_r = influence(moderated)$inf$cov.r,
  vif = list(single = unname(single$vifs), gvif = unname(joint$vifs),
             gsif = unname(sapply(joint$vif, function(x) x$sif)))),
  file.path(here, "metafor", "deletion.json"))
