# Profile likelihood intervals of the variances of four occasions whose estimated covariance matrix
# is singular (those of the correlations metafor does not find).  Takes some minutes.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/confint.R

suppressMessages(library(metafor))
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))

d <- read.csv(file.path("mvmeta", "datasets", "ishak2007.csv"))
m <- rma.mv(yi, vcalc(vi, study, time1 = time, phi = 0.97, data = d), mods = ~ factor(time) - 1,
            random = ~ time | study, struct = "UN", data = d)
limits <- sapply(1:4, function(i) confint(m, tau2 = i)$random[1, ])
write_json(list(metafor_version = as.character(packageVersion("metafor")),
                loglik = as.numeric(logLik(m)), tau2 = unname(limits["estimate", ]),
                lower = unname(limits["ci.lb", ]), upper = unname(limits["ci.ub", ])),
           file.path(here, "metafor", "confint.json"))
