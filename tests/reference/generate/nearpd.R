# Nearest correlation matrices by nearPD of the package Matrix (Higham 2002, IMA J Numer Anal 22:329), iterated to
# the end, and what vcalc of metafor makes of a V that is not positive definite.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/nearpd.R

suppressMessages({ library(Matrix); library(metafor) })
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))

near <- function(R) {
  out <- nearPD(R, corr = TRUE, keepDiag = TRUE, eig.tol = 1e-14, conv.tol = 1e-13, posd.tol = 1e-8, maxit = 1e5)
  stopifnot(out$converged)
  list(given = unname(R), nearest = unname(as.matrix(out$mat)))
}

set.seed(2002)
scattered <- function(m) {
  R <- diag(m); R[upper.tri(R)] <- round(runif(m * (m - 1) / 2, -1, 1), 3)
  R[lower.tri(R)] <- t(R)[lower.tri(R)]; R
}
indefinite <- list()
while (length(indefinite) < 12) {
  R <- scattered(3 + length(indefinite) %% 4 * 2)
  if (min(eigen(R)$values) < -0.01) indefinite <- c(indefinite, list(R))
}
higham <- matrix(c(1, 1, 0, 1, 1, 1, 0, 1, 1), 3)   # p. 334
opposed <- matrix(-0.6, 3, 3); diag(opposed) <- 1

d <- data.frame(study = 1, obs = 1:3, vi = c(0.1, 0.2, 0.1))
V <- suppressWarnings(vcalc(vi, cluster = study, obs = obs, rho = -0.6, data = d, nearpd = TRUE))

write_json(list(
  versions = list(Matrix = as.character(packageVersion("Matrix")), metafor = as.character(packageVersion("metafor"))),
  cases = lapply(c(list(higham, opposed), indefinite), near),
  metafor = list(vi = d$vi, V = unname(V))),
  file.path(here, "nearpd.json"))
