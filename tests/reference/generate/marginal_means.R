# Marginal means and comparisons by emmeans, of a metafor fit with its components fixed.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/marginal_means.R

suppressMessages({ library(metafor); library(emmeans) })
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))
emm_options(msg.interaction = FALSE, msg.nesting = FALSE, rg.limit = 1e5)

set.seed(20262)
k <- 60
d <- data.frame(
  study = sort(sample(1:20, k, replace = TRUE)),
  outcome = sample(c("A", "B", "C"), k, replace = TRUE, prob = c(5, 3, 2)),
  design = sample(c("rct", "cohort"), k, replace = TRUE, prob = c(2, 1)),
  x = round(rnorm(k, 1), 2),
  vi = round(runif(k, 0.02, 0.3), 4)
)
d$id <- seq_len(k)
d$yi <- round(0.3 + 0.4 * (d$outcome == "B") - 0.5 * (d$outcome == "C") * (d$design == "rct") +
              0.2 * d$x + rnorm(20, 0, 0.4)[d$study] + rnorm(k, 0, sqrt(d$vi + 0.1)), 4)
sigma2 <- c(0.15, 0.08)

fit <- function(formula, data) {
  suppressWarnings(rma.mv(yi, vi, mods = formula, random = ~ 1 | study/id, sigma2 = sigma2, data = data,
                          test = "t"))
}
grid <- function(formula, data, ...) {
  res <- fit(formula, data)
  full <- colnames(model.matrix(formula, data))
  coef <- setNames(rep(NA_real_, length(full)), full)
  kept <- sub("intrcpt", "(Intercept)", rownames(res$beta), fixed = TRUE)
  coef[kept] <- c(res$beta)
  qdrg(formula = formula, data = data, coef = coef,
       vcov = matrix(vcov(res), length(kept), dimnames = list(kept, kept)), df = res$k - res$p, ...)
}
means <- function(object, ...) {
  s <- as.data.frame(confint(emmeans(object, ...)))
  names(s)[names(s) %in% c("lower.CL", "asymp.LCL")] <- "lower"
  names(s)[names(s) %in% c("upper.CL", "asymp.UCL")] <- "upper"
  keep <- setdiff(names(s), c("emmean", "SE", "df", "lower", "upper"))
  c(lapply(s[keep], function(v) I(as.character(v))),
    list(mean = I(s$emmean), se = I(s$SE), df = I(s$df), lower = I(s$lower), upper = I(s$upper)))
}
compared <- function(object, method, adjust, intervals = TRUE) {
  made <- contrast(object, method, adjust = adjust)
  s <- as.data.frame(summary(made, infer = c(FALSE, TRUE)))
  out <- list(adjust = adjust, estimate = I(s$estimate), se = I(s$SE), t = I(s$t.ratio), p = I(s$p.value))
  if (intervals) {
    i <- as.data.frame(summary(made, infer = c(TRUE, FALSE)))
    out$lower <- I(i$lower.CL); out$upper <- I(i$upper.CL)
  }
  out
}

both <- ~ outcome * design + x
g <- grid(both, d)
empty <- d[!(d$outcome == "C" & d$design == "rct"), ]
hole <- grid(both, empty)
by_outcome <- emmeans(g, "outcome")

result <- list(
  metafor_version = as.character(packageVersion("metafor")),
  emmeans_version = as.character(packageVersion("emmeans")),
  r_version = as.character(getRversion()),
  data = d, sigma2 = sigma2,
  means = list(
    equal = means(g, "outcome"),
    proportional = means(g, "outcome", weights = "proportional"),
    cells = means(g, "outcome", weights = "cells"),
    overall = means(g, ~ 1, weights = "proportional"),
    both = means(g, c("outcome", "design")),
    at = means(grid(both, d, at = list(x = c(-1, 2))), c("design", "x"))
  ),
  pairs = lapply(c("none", "tukey", "scheffe", "bonferroni", "sidak", "holm", "BH", "BY"), function(a) {
    compared(by_outcome, "revpairwise", a, a %in% c("none", "tukey", "scheffe", "bonferroni", "sidak"))
  }),
  pairs_by = compared(emmeans(g, "outcome", by = "design"), "revpairwise", "tukey"),
  families = list(reference = compared(by_outcome, "trt.vs.ctrl1", "none"),
                  consecutive = compared(by_outcome, "consec", "none"),
                  effects = compared(by_outcome, "eff", "none")),
  joint = {
    j <- anova(fit(both, d), X = contrast(by_outcome, "consec")@linfct)
    list(F = c(j$QM), df1 = j$QMdf[1], df2 = j$QMdf[2], p = c(j$QMp))
  },
  slopes = compared(emmeans(grid(~ outcome * x + design, d, at = list(x = c(0, 1))), "x", by = "outcome"),
                    "revpairwise", "none"),
  empty_cell = list(
    rows = I(as.integer(rownames(empty)) - 1L),
    outcome = means(hole, "outcome"),
    cells = means(hole, "outcome", weights = "cells"),
    design = means(hole, "design"),
    both = means(hole, c("outcome", "design"))
  )
)
write_json(result, file.path(here, "metafor", "marginal_means.json"))
