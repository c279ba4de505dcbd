# Calls as people write them, and what metafor makes of them: the tests give the same texts to
# `from_metafor`.  The data are the csv files of mvmeta/datasets.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/calls.R  (needs ape)

suppressMessages(library(metafor))
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))

read <- function(name) read.csv(file.path("mvmeta", "datasets", paste0(name, ".csv")))
schools <- read("konstantopoulos2011")
assink <- read("assink2016")
bcg <- read("bcg")
berkey <- read("berkey1998")
ishak <- subset(read("ishak2007"), !is.na(months))
lim <- read("lim2014")
ishak$study.id <- ishak$study

# Grafen's branch lengths, as for the data set of the package
A <- ape::vcv(ape::compute.brlen(metadat::dat.lim2014$o_o_adj_tree), corr = TRUE)
A <- A[sort(unique(lim$species)), sort(unique(lim$species))]
V <- bldiag(lapply(split(berkey[c("v1i", "v2i")], berkey$trial), as.matrix))

calls <- list(
  nested = "rma.mv(yi, vi, random = ~ 1 | district/school, data = schools)",
  crossed = "rma.mv(yi, vi, random = list(~ 1 | study, ~ 1 | year), data = assink)",
  ml_t = "rma.mv(yi, vi, mods = ~ I(year - 2000), random = ~ 1 | district/school, method = 'ML', test = 't', data = schools)",
  formula_in_yi = "rma.mv(yi ~ factor(deltype) + year, vi, random = ~ 1 | study/esid, data = assink)",
  cell_means = "rma.mv(yi, vi, mods = ~ deltype - 1, random = ~ 1 | study/esid, data = assink)",
  plus_zero = "rma.mv(yi, vi, mods = ~ 0 + deltype, random = ~ 1 | study/esid, data = assink)",
  relevel = "rma.mv(yi, vi, mods = ~ relevel(factor(deltype), ref = 'overt'), random = ~ 1 | study/esid, data = assink)",
  sum_contrasts = "rma.mv(yi, vi, mods = ~ C(factor(deltype), contr.sum), random = ~ 1 | study/esid, data = assink)",
  interaction = "rma.mv(yi, vi, mods = ~ factor(pubstatus) * year, random = ~ 1 | study/esid, data = assink)",
  powers = "rma.mv(yi, vi, mods = ~ ablat + I(ablat^2), random = ~ 1 | trial, data = bcg)",
  poly = "rma.mv(yi, vi, mods = ~ poly(ablat, 2), random = ~ 1 | trial, data = bcg)",
  poly_raw = "rma.mv(yi, vi, mods = ~ poly(ablat, degree = 2, raw = TRUE) + alloc, random = ~ 1 | trial, data = bcg)",
  functions = "rma.mv(yi, vi, mods = ~ log(ablat) + I((year - 1948) / 10) + I(ablat > 30), random = ~ 1 | trial, data = bcg)",
  scaled = "rma.mv(yi, vi, mods = ~ scale(ablat) + scale(year, scale = FALSE), random = ~ 1 | trial, data = bcg)",
  splines = "rma.mv(yi, vi, mods = ~ splines::bs(ablat, df = 4), random = ~ 1 | trial, data = bcg)",
  natural = "rma.mv(yi, vi, mods = ~ splines::ns(ablat, df = 3), random = ~ 1 | trial, data = bcg)",
  un = "rma.mv(yi, V, mods = ~ outcome - 1, random = ~ outcome | trial, struct = 'UN', data = berkey)",
  hcs_ml = "rma.mv(yi, V, mods = ~ outcome + outcome:I(year - 1983) - 1, random = ~ outcome | trial, struct = \"HCS\", data = berkey, method = \"ML\")",
  two_structures = "rma.mv(yi, vi, mods = ~ deltype, random = list(~ deltype | study, ~ deltype | id), struct = c('CS', 'DIAG'), data = assink)",
  car = "rma.mv(yi, vi, mods = ~ factor(time) - 1, random = ~ months | study, struct = 'CAR', data = ishak)",
  har = "rma.mv(yi, vi, mods = ~ factor(time) - 1, random = ~ time | study.id, struct = 'HAR', data = ishak)",
  slopes = "rma.mv(yi, vi, mods = ~ year, random = ~ year | study, struct = 'GEN', data = patients)",
  uncorrelated = "rma.mv(yi, vi, mods = ~ month, random = ~ month || study, struct = 'GEN', data = patients)",
  phylogeny = "rma.mv(yi, vi, random = list(~ 1 | article, ~ 1 | effect, ~ 1 | species), R = list(species = A), data = lim)",
  phylogeny_cor0 = "rma.mv(yi, vi, random = list(~ 1 | article, ~ 1 | species), R = list(species = A), Rscale = 'cor0', data = lim)",
  fixed_sigma2 = "rma.mv(yi, vi, random = ~ 1 | district/school, sigma2 = c(NA, 0.05), data = schools)",
  fixed_rho = "rma.mv(yi, V, mods = ~ outcome - 1, random = ~ outcome | trial, struct = 'UN', rho = 0.5, tau2 = c(0.02, NA), data = berkey)",
  contain = "rma.mv(yi, vi, mods = ~ deltype, random = ~ 1 | study/esid, dfs = 'contain', data = assink)",
  given_df = "rma.mv(yi, vi, mods = ~ year, random = ~ 1 | study/esid, test = 't', dfs = 7, data = assink)",
  adhoc = "rma(yi, vi, mods = ~ ablat, test = 'adhoc', data = bcg)",
  weights = "rma.mv(yi, vi, W = tpos + tneg, random = ~ 1 | trial, data = bcg)",
  common = "rma.mv(yi, vi, mods = ~ year, random = ~ 1 | study, method = 'FE', data = assink)",
  subset_condition = "rma.mv(yi, vi, random = ~ 1 | study/esid, subset = !(deltype == 'overt' | year < 0), data = assink)",
  subset_in = "rma.mv(yi, vi, random = ~ 1 | study/esid, subset = deltype %in% c('general', 'covert') & !is.na(year), data = assink)",
  subset_rows = "rma.mv(yi, vi, random = ~ 1 | district/school, subset = c(1:20, 31:56), data = schools)",
  subset_of_data = "rma.mv(yi, vi, random = ~ 1 | district/school, data = schools[schools$district != 11, ])",
  subset_function = "rma.mv(yi, vi, random = ~ 1 | district/school, data = subset(schools, year >= 1990))",
  missing = "rma.mv(yi, vi, mods = ~ year, random = ~ 1 | article, data = lim)",
  positions = "rma.mv(lim$yi, lim$vi, mods = ~ lim$amniotes, random = ~ 1 | article, data = lim)",
  vcalc = "rma.mv(yi, vcalc(vi, cluster = study, obs = esid, rho = 0.6, data = assink), random = ~ 1 | study/esid, data = assink)",
  script = "# as in the tutorial\nlibrary(metafor)\nW.mat <- vcalc(vi, cluster = study, type = deltype, obs = esid,\n               rho = c(0.7, 0.4), data = assink)\nres <- rma.mv(yi, W.mat, mods = ~ deltype,\n              random = ~ 1 | study/esid, # two levels\n              data = assink)\nsummary(res)",
  counts = "dat <- escalc(measure = 'OR', ai = tpos, bi = tneg, ci = cpos, di = cneg, data = bcg)\nrma.mv(yi, vi, mods = ~ ablat, random = ~ 1 | trial, data = dat)",
  some_counts = "dat <- escalc(measure = 'OR', ai = tpos, bi = tneg, ci = cpos, di = cneg, data = bcg, include = year > 1950)\nrma.mv(yi, vi, random = ~ 1 | trial, data = dat)",
  first_counts = "dat <- escalc(measure = 'OR', ai = tpos, bi = tneg, ci = cpos, di = cneg, data = bcg, include = 1:6)\nrma.mv(yi, vi, random = ~ 1 | trial, data = dat)",
  kept_effects = "dat <- escalc(measure = 'OR', ai = tpos, bi = tneg, ci = cpos, di = cneg, data = bcg, replace = FALSE)\nrma.mv(yi, vi, random = ~ 1 | trial, data = dat)",
  alias = "dat <- assink\nrma.mv(yi, vi, random = ~ 1 | study/esid, data = dat)",
  robust = "res <- rma.mv(yi, vi, mods = ~ year, random = ~ 1 | study/esid, data = assink)\nrobust(res, cluster = study)",
  robust_plain = "robust(rma.mv(yi, vi, random = ~ 1 | study/esid, data = assink), cluster = assink$study, adjust = FALSE)",
  robust_club = "rma.mv(yi, vi, mods = ~ year, random = ~ 1 | study/esid, data = assink) |> robust(cluster = study, clubSandwich = TRUE)",
  rma = "rma(yi, vi, mods = ~ ablat + year, data = bcg)",
  rma_counts = "rma(ai = tpos, bi = tneg, ci = cpos, di = cneg, measure = 'RD', method = 'ML', data = bcg)",
  rma_cbind = "rma.uni(yi, sei = sqrt(vi), mods = cbind(ablat, year), test = 'knha', data = bcg)",
  rma_common = "rma(yi, vi, method = 'EE', data = bcg)",
  rma_unweighted = "rma(yi, vi, weighted = FALSE, data = bcg)",
  rma_tau2 = "rma(yi, vi, tau2 = 0.2, data = bcg)",
  rma_scale = "rma(yi, vi, scale = ~ ablat, data = bcg)"
)
patients <- transform(ishak, month = months / 12, year = (mdur - 12) / 10)

# tight settings, of the optimiser only
evaluate <- function(text) {
  out <- NULL
  for (line in as.list(parse(text = text))) {
    value <- if (is.call(line) && line[[1]] == as.name("<-")) line[[3]] else line
    name <- if (is.call(value)) as.character(value[[1]])[1] else ""
    if (name == "robust") { out <- eval(value, envir = globalenv()); next }
    if (!(name %in% c("rma.mv", "rma", "rma.uni"))) { eval(line, envir = globalenv()); next }
    multilevel <- value[[1]] == as.name("rma.mv")
    value$control <- if (multilevel) list(rel.tol = 1e-10, eval.max = 5000, iter.max = 5000)
                     else if (is.null(value$scale)) list(threshold = 1e-13, maxiter = 10000)
                     else list(rel.tol = 1e-12)
    out <- suppressWarnings(eval(value, envir = globalenv()))
    assign("res", out, envir = globalenv())
  }
  out
}

structured <- function(variances, correlations, struct)
  c(variances, if (!(struct %in% c("ID", "DIAG", "GDIAG"))) correlations)

one <- function(x) if (is.null(x) || length(x) == 0) NULL else I(as.numeric(x))
results <- lapply(calls, function(text) {
  res <- evaluate(text)
  multilevel <- inherits(res, "rma.mv")
  estimated <- if (res$method == "ML" || res$method %in% c("FE", "EE", "CE")) "ML" else "REML"
  components <- if (!multilevel) {
    if (inherits(res, "rma.ls")) c(exp(res$alpha[1]), res$alpha[-1])
    else if (res$method %in% c("FE", "EE", "CE")) NULL else res$tau2
  } else c(if (res$withS) res$sigma2, if (res$withG) structured(res$tau2, res$rho, res$struct[1]),
           if (res$withH) structured(res$gamma2, res$phi, res$struct[2]))
  list(call = text, k = res$k, components = one(components),
       beta = one(res$beta), se = one(res$se), ci_lb = one(res$ci.lb), ci_ub = one(res$ci.ub),
       fitted = one(if (inherits(res, "rma.ls")) fitted(res)$location else fitted(res)), QE = res$QE, QM = res$QM, QMp = res$QMp,
       loglik = c(logLik(res, REML = estimated == "REML")))
})

write_json(list(metafor_version = as.character(packageVersion("metafor")), calls = results),
           file.path(here, "metafor", "calls.json"))
