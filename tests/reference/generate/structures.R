# Structures rma.mv does not have, through those it has: the covariance of all effects is written
# out and given to it as R of a random intercept with sigma2 = 1.  For every structure the
# log-likelihood, coefficients and standard errors at fixed components, and the maximum of the
# restricted likelihood that nlminb finds over the components from several starts.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/structures.R

suppressMessages(library(metafor))
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))
options(warn = -1)

round_all <- function(d) { d[] <- lapply(d, function(v) if (is.numeric(v)) round(v, 6) else v); d }

# A clock-like tree of ten species: shared height of the merges, from a clustering of random points.
tree <- function(n) {
  heights <- cophenetic(hclust(dist(matrix(rnorm(2 * n), n)), method = "average"))
  C <- round(1 - as.matrix(heights) / max(heights), 6)
  dimnames(C) <- list(sprintf("s%02d", 1:n), sprintf("s%02d", 1:n))
  C
}
draw <- function(K) drop(t(chol(K + 1e-9 * diag(nrow(K)))) %*% rnorm(nrow(K)))

set.seed(20261)
C <- tree(10)
species <- rownames(C)
cells <- expand.grid(trait = c("a", "b"), species = species, stringsAsFactors = FALSE)
G <- matrix(c(1, 0.6, 0.6, 1.5), 2)
cells$u <- draw(C %x% G)
site <- data.frame(species = species, x = runif(10), y = runif(10))
phylo <- merge(cells[rep(seq_len(nrow(cells)), times = rep(c(2, 3, 1, 2), 5)), ], site)
phylo$vi <- runif(nrow(phylo), 0.05, 0.3)
phylo$yi <- 0.4 * (phylo$trait == "b") + phylo$u + rnorm(nrow(phylo), 0, sqrt(phylo$vi))
phylo$own <- 0.5 * draw(0.6 * C + 0.4 * diag(10))[match(phylo$species, species)]
phylo$zi <- phylo$own + rnorm(nrow(phylo), 0, sqrt(phylo$vi))
phylo$field <- draw(exp(-as.matrix(dist(site[, 2:3])) / 0.5))[match(phylo$species, species)]
phylo$wi <- phylo$field + rnorm(nrow(phylo), 0, sqrt(phylo$vi))
phylo <- round_all(phylo[, c("yi", "zi", "wi", "vi", "species", "trait", "x", "y")])

toeplitz_g <- function(tau2, rho) tau2 * toeplitz(c(1, rho))
studies <- 24
waves <- expand.grid(wave = 1:4, study = 1:studies)
waves$u <- c(replicate(studies, draw(toeplitz_g(0.8, c(0.6, 0.1, 0.3)))))
waves <- waves[runif(nrow(waves)) < 0.85, ]
waves$vi <- runif(nrow(waves), 0.05, 0.3)
waves$yi <- waves$u + rnorm(nrow(waves), 0, sqrt(waves$vi))
waves <- round_all(waves[, c("yi", "vi", "study", "wave")])

# Covariance of the effects of all rows, from G over inner levels and R over outer ones.
between <- function(G, inner, R = NULL, outer = NULL) {
  K <- G[inner, inner]
  if (is.null(outer)) K else if (is.null(R)) K * outer(outer, outer, "==") else K * R[outer, outer]
}

evaluate <- function(y, vi, X, K, method) {
  k <- length(y)
  d <- data.frame(row = factor(seq_len(k)))
  dimnames(K) <- list(d$row, d$row)
  rma.mv(y, vi, mods = X, intercept = FALSE, random = ~ 1 | row, R = list(row = K), Rscale = "none",
         data = d, sigma2 = 1, method = method)
}

# Without `starts` the likelihood has no maximum within bounds and none is looked for.
run <- function(id, data, response, X, K, at, starts = NULL, lower = NULL, upper = NULL) {
  y <- data[[response]]
  minus <- function(par) {
    value <- tryCatch(-as.numeric(logLik(evaluate(y, data$vi, X, K(par), "REML"))),
                      error = function(e) NA)
    if (is.finite(value)) value else 1e6
  }
  fits <- lapply(starts, nlminb, minus, lower = lower, upper = upper,
                 control = list(rel.tol = 1e-14, x.tol = 1e-10, eval.max = 4000, iter.max = 2000))
  best <- if (length(fits)) fits[[which.min(vapply(fits, function(f) f$objective, 0))]]
          else list(objective = NA, par = NA)
  fixed <- lapply(c(REML = "REML", ML = "ML"), function(m) evaluate(y, data$vi, X, K(at), m))
  cat(id, -best$objective, best$par, "\n")
  list(at = I(at), loglik = list(REML = as.numeric(logLik(fixed$REML)), ML = as.numeric(logLik(fixed$ML))),
       beta = I(drop(coef(fixed$REML))), se = I(fixed$REML$se), best_loglik = -best$objective,
       best = I(best$par))
}

one <- matrix(1, nrow(phylo)); cell <- model.matrix(~ trait - 1, phylo)
s <- phylo$species; t <- phylo$trait
d <- as.matrix(dist(site[, 2:3])); d <- round_all(as.data.frame(site))
D <- as.matrix(dist(d[, 2:3])); dimnames(D) <- list(species, species)
unstructured <- function(p) {
  G <- matrix(c(p[1], p[3] * sqrt(p[1] * p[2]), p[3] * sqrt(p[1] * p[2]), p[2]), 2)
  dimnames(G) <- list(c("a", "b"), c("a", "b")); G
}
matern <- function(D, range, nu) {
  z <- sqrt(2 * nu) * D / range
  K <- 2^(1 - nu) / gamma(nu) * z^nu * besselK(z, nu)
  K[D == 0] <- 1
  K
}
w <- as.character(waves$wave); g <- waves$study
named <- function(G) { dimnames(G) <- list(1:4, 1:4); G }
P <- named(round(exp(-abs(outer(1:4, 1:4, "-")) / 2) * outer(c(1, 1.2, 1.4, 1.6), c(1, 1.2, 1.4, 1.6)), 6))
flat <- matrix(1, nrow(waves))
pos <- 1e-8

cases <- list(
  kronecker_un = run("kronecker_un", phylo, "yi", cell, function(p) between(unstructured(p), t, C, s),
    c(0.8, 1.1, 0.4), list(c(1, 1, 0.2), c(0.3, 2, -0.5)), c(pos, pos, -1), c(50, 50, 1)),
  kronecker_diag = run("kronecker_diag", phylo, "yi", cell,
    function(p) between(unstructured(c(p, 0)), t, C, s), c(0.8, 1.1), list(c(1, 1), c(0.2, 3)), pos, 50),
  phypl = run("phypl", phylo, "zi", one,
    function(p) between(p[1] * (p[2] * C + (1 - p[2]) * diag(10)), s), c(0.3, 0.7),
    list(c(0.3, 0.5), c(1, 0.1), c(0.1, 0.9)), c(pos, 0), c(50, 1)),
  phyou = run("phyou", phylo, "zi", one,
    function(p) between(p[1] * exp(-2 * p[2] * (1 - C)), s), c(0.3, 0.9),
    list(c(0.3, 1), c(0.5, 5), c(1, 0.2)), c(pos, 1e-3), c(50, 1e3)),
  phybm = run("phybm", phylo, "zi", one, function(p) between(p[1] * C, s), 0.4, list(0.4, 2), pos, 50),
  matern_05 = run("matern_05", phylo, "wi", one, function(p) between(p[1] * matern(D, p[2], 0.5), s),
    c(0.6, 0.3)),
  matern_15 = run("matern_15", phylo, "wi", one, function(p) between(p[1] * matern(D, p[2], 1.5), s),
    c(0.6, 0.3), list(c(0.5, 0.3), c(1, 0.1), c(0.5, 1)), c(pos, 1e-3), c(50, 100)),
  matern_25 = run("matern_25", phylo, "wi", one, function(p) between(p[1] * matern(D, p[2], 2.5), s),
    c(0.6, 0.3), list(c(0.5, 0.3), c(1, 0.1), c(0.5, 1)), c(pos, 1e-3), c(50, 100)),
  toep = run("toep", waves, "yi", flat, function(p) between(named(toeplitz_g(p[1], p[2:4])), w, outer = g),
    c(0.7, 0.5, 0.2, 0.1), list(c(0.7, 0.4, 0.1, 0.1), c(1, 0, 0, 0)), c(pos, rep(-1, 3)), c(50, rep(1, 3))),
  htoep = run("htoep", waves, "yi", flat, function(p) {
      sd <- sqrt(p[1:4]); between(named(outer(sd, sd) * toeplitz(c(1, p[5:7]))), w, outer = g) },
    c(0.7, 0.5, 0.9, 0.6, 0.5, 0.2, 0.1), list(c(rep(0.7, 4), 0.4, 0.1, 0.1), c(rep(1, 4), 0, 0, 0)),
    c(rep(pos, 4), rep(-1, 3)), c(rep(50, 4), rep(1, 3))),
  fa1 = run("fa1", waves, "yi", flat, function(p) between(named(p[1:4] %o% p[1:4] + diag(p[5:8])), w, outer = g),
    c(0.5, 0.7, 0.6, 0.4, 0.3, 0.2, 0.4, 0.1),
    list(rep(0.5, 8), c(0.9, 0.9, 0.2, 0.2, rep(0.3, 4)), c(0.5, 0.9, 0.9, 0.1, 0.6, 0.05, 0.3, 0.6)),
    c(rep(-20, 4), rep(0, 4)), 50),
  prop = run("prop", waves, "yi", flat, function(p) between(p[1] * P, w, outer = g), 0.5, list(0.3, 2), pos, 50),
  hcs_equal = run("hcs_equal", waves, "yi", flat, function(p) {
      sd <- sqrt(p[c(1, 1, 2, 2)]); between(named(outer(sd, sd) * ((1 - p[3]) * diag(4) + p[3])), w, outer = g) },
    c(0.6, 0.9, 0.3), list(c(0.5, 0.5, 0.2), c(1, 0.4, 0.6)), c(pos, pos, -1 / 3), c(50, 50, 1)))

rownames(P) <- colnames(P) <- NULL
write_json(list(metafor_version = as.character(packageVersion("metafor")),
                r_version = paste(R.version$major, R.version$minor, sep = "."),
                phylo = phylo, waves = waves, species = species, tree = unname(C), proportions = P,
                cases = cases), file.path(here, "metafor", "structures.json"))
