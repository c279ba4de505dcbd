# Exact permutation tests of moderators: all orders of the rows of X, components estimated each time.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/permutation.R

suppressMessages(library(metafor))
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))
d <- escalc("RR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg)[c(1:4, 7, 9), ]
m <- rma(yi, vi, mods = ~ ablat, data = d, control = list(threshold = 1e-10, maxiter = 1000))
p <- permutest(m, exact = TRUE, progbar = FALSE)
write_json(list(metafor_version = as.character(packageVersion("metafor")),
                data = list(yi = c(d$yi), vi = d$vi, ablat = d$ablat), qm = m$QM, p = p$QMp,
                statistics = sort(unname(p$QM.perm))), file.path(here, "metafor", "permutation.json"))
