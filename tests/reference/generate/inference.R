# Everything rma.mv and its methods report for random-intercept models at fixed components,
# one file per model.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/inference.R

here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))
source(file.path(here, "generate", "model.R"))

vectors <- function(x, names) lapply(setNames(names, names), function(n) I(c(x[[n]])))

coefficients <- function(res) {
  columns <- c(est = "beta", se = "se", stat = "zval", pval = "pval", ci_lb = "ci.lb", ci_ub = "ci.ub")
  out <- c(list(names = I(rownames(res$beta))), lapply(columns, function(n) I(unname(c(res[[n]])))))
  c(out, list(ddf = if (res$test == "t") I(unname(c(res$ddf)))))
}

tests <- function(res) list(
  vcov = unname(res$vb), QE = res$QE, QE_df = res$k - res$p, QEp = res$QEp,
  QM = res$QM, QM_df = I(as.numeric(res$QMdf)), QMp = res$QMp, btt = I(res$btt - 1L),
  fitted = I(unname(c(fitted(res))))
)

random_effects <- function(res) {
  effects <- ranef(res)
  lapply(seq_along(effects), function(i) {
    e <- effects[[i]]
    list(group = names(effects)[i], levels = I(rownames(e)), est = I(e[[1]]), se = I(e$se),
         pi_lb = I(e$pi.lb), pi_ub = I(e$pi.ub))
  })
}

residual_table <- function(res) {
  standard <- rstandard(res)
  rowsum <- res$int.only
  list(response = I(unname(c(residuals(res)))),
       pearson = I(unname(c(residuals(res, type = "pearson")))),
       rstandard = vectors(standard, c("resid", "se", "z")),
       hatvalues = I(unname(hatvalues(res))),
       weights_diag_pct = I(unname(weights(res))),
       weights_rowsum_pct = if (rowsum) I(unname(weights(res, type = "rowsum"))))
}

prediction <- function(p, newdata, X_new) {
  columns <- c(pred = "pred", se = "se", ci_lb = "ci.lb", ci_ub = "ci.ub", pi_lb = "pi.lb", pi_ub = "pi.ub")
  c(list(newdata = newdata, X_new = X_new, level = 95), lapply(columns, function(n) I(unname(c(p[[n]])))),
    list(ddf = if (length(p$ddf) && !anyNA(p$ddf)) I(unname(c(p$ddf)))))
}

predictions <- function(res, newdata, X_new) {
  if (res$int.only) return(list(prediction(predict(res), NULL, NULL)))
  moderators <- if (res$int.incl) X_new[, -1, drop = FALSE] else X_new
  list(prediction(predict(res, newmods = unname(moderators)), newdata, X_new))
}

contrasts_of <- function(res, L) {
  a <- anova(res, X = L)
  m <- as.numeric(a$m)
  list(list(L = L, est_minus_rhs = I(c(a$Xb)), se = I(c(a$se)), stat = I(unname(c(a$zval))),
            pval = I(unname(c(a$pval))), ddf = if (res$test == "t") I(unname(c(a$ddf))),
            QM = a$QM, QM_df = I(as.numeric(a$QMdf)), QMp = a$QMp))
}

write_inference <- function(case, newdata = NULL, X_new = NULL, L = NULL) {
  res <- fixed_fit(case)
  case <- finish(case, res)
  case$expected$coefficients <- coefficients(res)
  case$expected <- c(case$expected, tests(res))
  case$checks <- list(residuals = residual_table(res))
  if (res$withS) case$checks$ranef <- random_effects(res)
  case$checks$predict <- predictions(res, newdata, X_new)
  if (!is.null(L)) case$checks$contrasts <- contrasts_of(res, L)
  write_json(case, file.path(here, "metafor", "inference", paste0(case$id, ".json")))
}

columns <- function(dat, names) as.data.frame(lapply(dat[names], c))

toy <- data.frame(yi = c(0, 5, 10, 20, 25), vi = 0.1, Category = c("A", "B", "C", "A", "B"),
                  Study = c(1, 1, 1, 2, 2))
write_inference(
  base_case("toy_study", "Category means, study intercepts", "toy", toy,
            "yi ~ C(Category) - 1", "~ factor(Category) - 1",
            list(intercept("1 | Study")), list(sigma2 = 200)),
  list(Category = c("A", "B", "C")), diag(3), rbind(c(-1, 1, 0), c(-1, 0, 1)))

konst <- columns(dat.konstantopoulos2011, c("yi", "vi", "district", "school"))
write_inference(
  base_case("nested", "Schools in districts, intercept only", "konstantopoulos2011", konst,
            "yi ~ 1", "~ 1", list(intercept("1 | district/school")),
            list(sigma2 = c(0.065, 0.033))))

assink <- columns(dat.assink2016, c("yi", "vi", "study", "esid", "year", "deltype"))
delinquency <- list(year = c(-5, 0, 4), deltype = c("overt", "general", "covert"))
X_new <- cbind(1, c(0, 1, 0), c(1, 0, 0), c(-5, 0, 4))
for (dfs in c("residual", "contain"))
  write_inference(
    base_case(paste0("nested_t_", dfs), paste("Moderators, t tests, df", dfs), "assink2016", assink,
              "yi ~ C(deltype) + year", "~ factor(deltype) + year",
              list(intercept("1 | study/esid")), list(sigma2 = c(0.2, 0.1)), test = "t", dfs = dfs),
    delinquency, X_new, rbind(c(0, 1, -1, 0), c(0, 0, 0, 1)))

dat <- simulated()
write_inference(
  base_case("crossed", "Crossed intercepts, one numeric moderator", "simulated", dat,
            "yi ~ x", "~ x",
            list(intercept("1 | study"), intercept("1 | lab"), intercept("1 | id")),
            list(sigma2 = c(0.05, 0.2, 0.02))),
  list(x = c(-1, 0, 2.5)), cbind(1, c(-1, 0, 2.5)), rbind(c(1, 2)))

write_inference(
  base_case("known_corr", "Species with known correlations", "simulated", dat, "yi ~ 1", "~ 1",
            list(intercept("1 | study"), intercept("1 | species", species_covariance())),
            list(sigma2 = c(0.06, 0.3))))

berkey <- columns(dat.berkey1998, c("yi", "vi", "trial", "outcome"))
pairs <- split(seq_len(nrow(berkey)), berkey$trial)
V <- list(type = "blocks", blocks = lapply(unname(pairs), function(i) {
  list(rows = I(i - 1L), matrix = unname(as.matrix(dat.berkey1998[i, c("v1i", "v2i")])))
}))
write_inference(
  base_case("block_v", "Two outcomes per trial with their covariances", "berkey1998", berkey,
            "yi ~ C(outcome) - 1", "~ outcome - 1",
            list(intercept("1 | trial/outcome")), list(sigma2 = c(0.01, 0.012)), V),
  list(outcome = c("AL", "PD")), diag(2), rbind(c(1, -1)))

holes <- dat
holes$yi[c(2, 9)] <- NA
holes$x[15] <- NA
holes$vi[20] <- NA
write_inference(
  base_case("missing_ml", "Rows with missing values, maximum likelihood", "simulated", holes,
            "yi ~ x", "~ x", list(intercept("1 | study/id")), list(sigma2 = c(0.07, 0.11)),
            method = "ML"),
  list(x = c(-1, 0, 2.5)), cbind(1, c(-1, 0, 2.5)), rbind(c(0, 1)))

write_inference(
  base_case("no_random", "No random effects, correlated estimates, t tests", "simulated", dat,
            "yi ~ x", "~ x", list(), list(), V_blocks(dat, "study", 0.5), test = "t"),
  list(x = c(-1, 0, 2.5)), cbind(1, c(-1, 0, 2.5)), rbind(c(0, 1)))
