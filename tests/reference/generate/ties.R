# Random terms whose components are equal, which metafor 3.8-1 cannot be told (`vccon` came later):
# rma.mv evaluates the likelihood at given components, the same for both terms, and nlminb finds
# the maximum over them.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/ties.R

suppressMessages(library(metafor))
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))
options(warn = -1)

set.seed(20271)
k <- 48
d <- data.frame(lab = sample(8, k, TRUE), rater = sample(9, k, TRUE), x = round(rnorm(k), 4),
                outcome = rep(c("p", "q"), k / 2), vi = round(runif(k, 0.05, 0.3), 4))
u <- matrix(rnorm(16, sd = 0.6), 8); w <- matrix(rnorm(18, sd = 0.6), 9)
o <- ifelse(d$outcome == "p", 1, 2)
d$yi <- round(0.4 * d$x + u[cbind(d$lab, o)] + w[cbind(d$rater, o)] + rnorm(k, sd = sqrt(d$vi)), 4)

one <- function(p, method) rma.mv(yi, vi, mods = ~ x, random = list(~ 1 | lab, ~ 1 | rater),
  sigma2 = c(p, p), data = d, method = method)
un <- function(p, method) rma.mv(yi, vi, mods = ~ x, random = list(~ outcome | lab, ~ outcome | rater),
  struct = c("UN", "UN"), tau2 = p[1:2], rho = p[3], gamma2 = p[1:2], phi = p[3], data = d, method = method)

run <- function(model, at, starts, lower, upper) lapply(list(REML = "REML", ML = "ML"), function(method) {
  f <- function(p) tryCatch(-as.numeric(logLik(model(p, method))), error = function(e) 1e10)
  found <- lapply(starts, function(s) nlminb(s, f, lower = lower, upper = upper,
    control = list(rel.tol = 1e-14, x.tol = 1e-12, eval.max = 2000, iter.max = 2000)))
  best <- found[[which.min(sapply(found, `[[`, "objective"))]]
  there <- model(best$par, method); fixed <- model(at, method)
  list(at = I(at), loglik = as.numeric(logLik(fixed)), est = I(c(fixed$beta)), se = I(fixed$se),
       best = list(at = I(best$par), loglik = as.numeric(logLik(there)), est = I(c(there$beta)),
                   se = I(there$se)))
})

write_json(list(metafor_version = as.character(packageVersion("metafor")),
                r_version = paste(R.version$major, R.version$minor, sep = "."), data = d,
                one = run(one, 0.3, list(0.3, 1), 0, 20),
                un = run(un, c(0.4, 0.6, 0.3), list(c(0.3, 0.3, 0), c(1, 0.2, 0.5)),
                         c(1e-6, 1e-6, -0.999), c(20, 20, 0.999))),
           file.path(here, "metafor", "ties.json"))
