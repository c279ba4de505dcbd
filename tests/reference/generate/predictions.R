# Predictions for known levels, and for new ones that are correlated with these.
#
# metafor: a new level is added as a row of almost no information (sampling variance 1e10), so that
# its random effect is predicted from the others; slopes go through the origin, so that at x = 0 the
# prediction is the random effect alone.  gstat: universal kriging with measurement error.
# lme4: modes and conditional variances of random effects, the residual variance taken as known.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/predictions.R

suppressMessages({ library(metafor); library(gstat); library(sp); library(lme4) })
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))
options(warn = -1)
round_all <- function(d) { d[] <- lapply(d, function(v) if (is.numeric(v)) round(v, 6) else v); d }

# -- metafor ---------------------------------------------------------------------------------------

set.seed(20263)
k <- 50
d <- data.frame(study = sort(sample(sprintf("s%02d", 1:14), k, replace = TRUE)),
                outcome = sample(c("A", "B", "C"), k, replace = TRUE),
                time = sample(1:4, k, replace = TRUE),
                species = sample(sprintf("sp%d", 1:6), k, replace = TRUE),
                x = rnorm(k), vi = runif(k, 0.02, 0.3))
d$yi <- 0.3 * d$x + rnorm(k, 0, sqrt(d$vi + 0.2))
d <- round_all(d)
a <- matrix(rnorm(8 * 12), 8) + 0.7
R <- round(a %*% t(a), 6)
dimnames(R) <- list(sprintf("sp%d", 1:8), sprintf("sp%d", 1:8))

effect <- function(new, args, term, rows) {
  both <- rbind(d, cbind(new, x = 0, vi = 1e10, yi = 0)[names(d)])
  res <- do.call(rma.mv, c(list(yi = quote(yi), V = quote(vi), mods = ~ x - 1, data = both), args))
  found <- ranef(res)[[term]]
  at <- match(rows, trimws(rownames(found)))
  stopifnot(!anyNA(at))
  list(new = new, estimate = I(found$intrcpt[at]), se = I(found$se[at]))
}
new <- data.frame(study = c("s01", "s05", "s09"), outcome = c("D", "D", "D"), time = c(5, 5, 5),
                  species = c("sp7", "sp8", "sp7"))
inner <- function(struct, column, ...) {
  f <- as.formula(paste("~", column, "| study"))
  effect(new, list(random = f, struct = struct, ...), 1, paste(new[[column]], "|", new$study))
}
far <- list(
  cs = inner("CS", "outcome", tau2 = 0.3, rho = 0.5),
  ar = inner("AR", "time", tau2 = 0.3, rho = -0.6),
  car = { new$time <- c(5, 2.5, 0.5); inner("CAR", "time", tau2 = 0.3, rho = 0.6) },
  species = effect(new, list(random = list(~ 1 | study, ~ 1 | species), R = list(species = R),
                             sigma2 = c(0.1, 0.3)), 2, new$species),
  cov = effect(new, list(random = ~ 1 | species, R = list(species = R), Rscale = "none", sigma2 = 0.02),
               1, new$species)
)

# -- gstat -----------------------------------------------------------------------------------------

set.seed(20264)
sites <- round_all(data.frame(px = runif(40, 0, 4), py = runif(40, 0, 4)))
field <- drop(t(chol(0.8 * exp(-as.matrix(dist(sites)) / 1.3))) %*% rnorm(40))
sites$yi <- round(1 + 0.5 * sites$px + field + rnorm(40, 0, sqrt(0.1)), 4)
targets <- round_all(data.frame(px = runif(6, 0, 4), py = runif(6, 0, 4)))
krige_with <- function(model) {
  s <- sites; t <- targets
  coordinates(s) <- ~ px + py; coordinates(t) <- ~ px + py
  v <- vgm(0.8, model, 1.3, add.to = vgm(0.1, "Err", 0))
  out <- krige(yi ~ px, s, t, model = v, debug.level = 0)
  list(estimate = I(out$var1.pred), se = I(sqrt(out$var1.var)))
}

# -- lme4 ------------------------------------------------------------------------------------------

set.seed(20265)
m <- data.frame(g = rep(sprintf("g%02d", 1:12), each = 6), h = sample(c("a", "b", "c", "d"), 72, replace = TRUE),
                t = rep(0:5, 12))
b <- matrix(rnorm(24), 12) %*% chol(matrix(c(1, 0.3, 0.3, 0.25), 2))
m$y <- b[as.integer(factor(m$g)), 1] + b[as.integer(factor(m$g)), 2] * m$t + rnorm(4)[factor(m$h)] + rnorm(72)
m <- round_all(m)
modes <- function(formula) {
  fit <- lmer(formula, m, control = lmerControl(optCtrl = list(maxfun = 1e5)))
  found <- ranef(fit, condVar = TRUE)
  list(formula = paste(deparse(formula), collapse = ""), residual = sigma(fit)^2,
       components = lapply(VarCorr(fit), function(v) unname(matrix(v, nrow(v)))),
       effects = lapply(found, function(e) unname(as.matrix(e))),
       variances = lapply(found, function(e) {
         p <- attr(e, "postVar")
         lapply(seq_len(dim(p)[3]), function(i) matrix(p[, , i], dim(p)[1]))
       }))
}
trend <- lmer(y ~ t + (1 + t | g), m)
at <- data.frame(g = c("g01", "g07", "g12"), t = c(2.5, 7, -1))

write_json(list(
  metafor_version = as.character(packageVersion("metafor")),
  gstat_version = as.character(packageVersion("gstat")),
  lme4_version = as.character(packageVersion("lme4")),
  r_version = as.character(getRversion()),
  metafor = list(data = d, R = list(levels = rownames(R), matrix = unname(R)), far = far),
  gstat = list(sites = sites, targets = targets, tau2 = 0.8, rho = 1.3, v = 0.1,
               SPEXP = krige_with("Exp"), SPGAU = krige_with("Gau"), SPSPH = krige_with("Sph")),
  lme4 = list(data = m, slopes = modes(y ~ 0 + (1 + t | g)), crossed = modes(y ~ 0 + (1 | g) + (1 | h)),
              known = list(components = unname(matrix(VarCorr(trend)$g, 2)), residual = sigma(trend)^2,
                           new = at, mean = I(unname(predict(trend, at)))))
), file.path(here, "predictions.json"))
