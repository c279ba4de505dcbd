# Small-sample inference for ordinary mixed models: Satterthwaite by lmerTest, Kenward-Roger by
# pbkrtest.  Here the sampling covariance V is 0 and the residual variance is one more component.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/mixed_models.R

suppressMessages({
  library(lme4)
  library(lmerTest)
  library(pbkrtest)
})

here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))

# Tighter than the default, so that the optimum is not what limits the comparison.
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12, maxfun = 1e5),
                       calc.derivs = FALSE)

sleep <- lme4::sleepstudy
set.seed(1)
ragged <- sleep[sort(sample(nrow(sleep), 130)), ]
ragged$half <- as.numeric(ragged$Subject) %% 2
oats <- as.data.frame(nlme::Oats)
oats$Block <- factor(as.character(oats$Block))
cake <- lme4::cake
cake$temp <- as.numeric(as.character(cake$temperature))

each <- function(p) diag(p)

models <- list(
  nested_intercepts = list(
    formula = yield ~ Variety + nitro + (1 | Block/Variety), data = oats,
    python = "yield_ ~ C(Variety) + nitro", columns = c(yield_ = "yield"),
    random = I(c("1 | Block", "1 | Block:Variety")), struct = I(c("", "")),
    joint = list(c(2, 3))),
  crossed_intercepts = list(
    formula = diameter ~ 1 + (1 | plate) + (1 | sample), data = lme4::Penicillin,
    python = "diameter ~ 1", random = I(c("1 | plate", "1 | sample")), struct = I(c("", "")),
    joint = list(1)),
  random_slope = list(
    formula = Reaction ~ Days + (Days | Subject), data = sleep,
    python = "Reaction ~ Days", random = I("1 + Days | Subject"), struct = I("GEN"),
    joint = list(c(1, 2))),
  random_slope_unbalanced = list(
    formula = Reaction ~ Days * half + (Days | Subject), data = ragged,
    python = "Reaction ~ Days * half", random = I("1 + Days | Subject"), struct = I("GEN"),
    joint = list(c(3, 4), c(2, 4))),
  uncorrelated_slope = list(
    formula = Reaction ~ Days + (Days || Subject), data = ragged,
    python = "Reaction ~ Days", random = I("1 + Days | Subject"), struct = I("GDIAG"),
    joint = list(c(1, 2))),
  split_plot = list(
    formula = angle ~ recipe * temp + (1 | recipe:replicate), data = cake,
    python = "angle ~ C(recipe) * temp", random = I("1 | recipe:replicate"), struct = I(""),
    joint = list(c(2, 3), c(5, 6), c(2, 3, 5, 6)))
)

single <- function(m, l, adjusted) {
  s <- contest1D(m, l)
  list(l = I(l), estimate = s$Estimate, se = s$`Std. Error`, satterthwaite = s$df,
       kr_se = sqrt(sum(l * as.vector(as.matrix(adjusted) %*% l))), kr_df = Lb_ddf(l, vcov(m), adjusted))
}

several <- function(m, at) {
  L <- each(length(fixef(m)))[at, , drop = FALSE]
  s <- contestMD(m, L)
  k <- getKR(KRmodcomp(m, L))
  list(at = I(at - 1L), F = s$`F value`, satterthwaite = s$DenDF,
       kr_F = k$Fstat, kr_df = k$ddf, kr_scale = k$F.scaling, kr_p = k$p.value)
}

fit <- function(x) {
  m <- lmerTest::lmer(x$formula, data = x$data, control = control)
  adjusted <- vcovAdj(m)
  p <- length(fixef(m))
  rows <- lapply(seq_len(p), function(i) each(p)[i, ])
  rows <- c(rows, list(rep(1, p)))
  data <- x$data[, all.vars(x$formula), drop = FALSE]
  names(data) <- ifelse(names(data) %in% x$columns, names(x$columns), names(data))
  data[] <- lapply(data, function(v) if (is.factor(v)) as.character(v) else v)
  components <- as.data.frame(VarCorr(m))
  list(formula = x$python, random = x$random, struct = x$struct, data = data,
       components = list(var1 = I(components$var1), var2 = I(components$var2),
                         group = I(components$grp), vcov = I(components$vcov)),
       beta = I(unname(fixef(m))), vcov = unname(as.matrix(vcov(m))), adjusted = unname(as.matrix(adjusted)),
       single = lapply(rows, single, m = m, adjusted = adjusted),
       joint = lapply(x$joint, several, m = m))
}

versions <- function(names) setNames(lapply(names, function(n) as.character(packageVersion(n))), names)
out <- list(versions = c(versions(c("lme4", "lmerTest", "pbkrtest")), R = as.character(getRversion())),
            models = lapply(models, fit))
write_json(out, file.path(here, "mixed_models.json"))
