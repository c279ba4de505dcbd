# I2 of each outcome, by the formula of metafor's documentation ("I^2 for multilevel and multivariate
# models"): the typical sampling variance of an outcome from its own part of the diagonal of P.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/heterogeneity.R

suppressMessages(library(metafor))
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))

d <- dat.berkey1998
v <- vcalc(vi = 1, cluster = author, rvars = c(v1i, v2i), data = d)
m <- rma.mv(yi, v, mods = ~ outcome - 1, random = ~ outcome | trial, struct = "UN", data = d)
w <- solve(v)
x <- model.matrix(m)
p <- w - w %*% x %*% solve(t(x) %*% w %*% x) %*% t(x) %*% w
typical <- sapply(c("AL", "PD"), function(o) (sum(d$outcome == o) - 1) / sum(diag(p)[d$outcome == o]))
write_json(list(metafor_version = as.character(packageVersion("metafor")), outcomes = c("AL", "PD"),
                tau2 = m$tau2, typical = unname(typical), i2 = unname(m$tau2 / (m$tau2 + typical))),
           file.path(here, "metafor", "heterogeneity.json"))
