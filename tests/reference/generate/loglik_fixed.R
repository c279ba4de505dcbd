# Log-likelihoods of rma.mv at fixed components, one file per model.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/loglik_fixed.R

here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))
source(file.path(here, "generate", "model.R"))

write_loglik <- function(id, title, data, formula, mods_r, random, fixed, V = NULL) {
  case <- base_case(id, title, "simulated", data, formula, mods_r, random, fixed, V)
  case <- finish(case, fixed_fit(case))
  write_json(case, file.path(here, "metafor", "loglik", paste0(id, ".json")))
}

dat <- simulated()
blocks <- V_blocks(dat, "study", 0.5)
R <- species_covariance()
slope <- c("yi ~ x", "~ x")
one <- c("yi ~ 1", "~ 1")
cells <- c("yi ~ C(outcome) - 1", "~ factor(outcome) - 1")

run <- function(id, title, design, random = list(), fixed = list(), V = NULL, data = dat)
  write_loglik(id, title, data, design[1], design[2], random, fixed, V)

run("none", "No random effects", slope)
run("none_block_v", "No random effects, correlated estimates", slope, V = blocks)
run("intercept", "One random intercept", slope, list(intercept("1 | study")), list(sigma2 = 0.07))
run("nested_two", "Effects in studies", slope, list(intercept("1 | study/id")),
    list(sigma2 = c(0.07, 0.11)))
run("nested_three", "Effects in studies in districts", cells,
    list(intercept("1 | district/study/id")), list(sigma2 = c(0.03, 0.07, 0.11)))
run("nested_zero", "Nested, one component zero", one, list(intercept("1 | study/id")),
    list(sigma2 = c(0, 0.2)))
run("crossed", "Crossed intercepts", slope,
    list(intercept("1 | study"), intercept("1 | lab"), intercept("1 | id")),
    list(sigma2 = c(0.05, 0.2, 0.02)))
run("crossed_nested", "Nested and crossed intercepts, correlated estimates", cells,
    list(intercept("1 | study/id"), intercept("1 | species")),
    list(sigma2 = c(0.05, 0.2, 0.02)), blocks)
run("nested_block_v", "Nested intercepts, correlated estimates", slope,
    list(intercept("1 | study/id")), list(sigma2 = c(0.07, 0.11)), blocks)

for (scale in c("cor", "cor0", "cov0", "none"))
  run(paste0("known_", scale), paste("Known covariance of species, scale", scale), one,
      list(intercept("1 | study"), intercept("1 | species", R, scale)),
      list(sigma2 = c(0.06, 0.3)))

run("cs", "Compound symmetry, negative correlation", cells,
    list(structured("CS", "outcome | study")), list(tau2 = 0.2, rho = -0.3), blocks)
run("hcs", "Heteroscedastic compound symmetry", cells,
    list(structured("HCS", "outcome | study")), list(tau2 = c(0.2, 0.1, 0.4), rho = 0.6), blocks)
run("un", "Unstructured", cells, list(structured("UN", "outcome | study")),
    list(tau2 = c(0.2, 0.1, 0.4), rho = c(0.6, 0.2, -0.3)), blocks)
run("id", "Equal variances, uncorrelated", cells, list(structured("ID", "outcome | study")),
    list(tau2 = 0.2), blocks)
run("diag", "Unequal variances, uncorrelated", cells,
    list(structured("DIAG", "outcome | study")), list(tau2 = c(0.2, 0.1, 0.4)), blocks)
run("ar", "Autoregressive by rank, negative correlation", slope,
    list(structured("AR", "time | study")), list(tau2 = 0.2, rho = -0.4), blocks)
run("har", "Heteroscedastic autoregressive", slope, list(structured("HAR", "time | study")),
    list(tau2 = c(0.2, 0.1, 0.4), rho = 0.7), blocks)
run("car", "Continuous autoregressive", slope, list(structured("CAR", "time | study")),
    list(tau2 = 0.2, rho = 0.7), blocks)
for (struct in c("SPEXP", "SPGAU", "SPLIN", "SPRAT", "SPSPH"))
  run(tolower(struct), paste("Spatial,", struct), slope,
      list(structured(struct, "px + py | district")), list(tau2 = 0.25, rho = 1.7))
run("spexp_manhattan", "Spatial, city-block distance", slope,
    list(structured("SPEXP", "px + py | district", "manhattan")), list(tau2 = 0.25, rho = 1.7))
sites <- as.matrix(dist(cbind(seq(0, 2.5, 0.5), c(0, 1, 0, 2, 1, 0))))
sites <- list(levels = paste0("sp", 1:6), matrix = unname(sites))
run("spgau_matrix", "Spatial, given distances", one,
    list(structured("SPGAU", "species | district", sites), intercept("1 | id")),
    list(sigma2 = 0.04, tau2 = 0.25, rho = 1.7))
run("gen", "Random intercept and slope", slope, list(structured("GEN", "x | study")),
    list(tau2 = c(0.2, 0.1), rho = -0.5), blocks)
run("gdiag", "Random intercept and slope, uncorrelated", slope,
    list(structured("GDIAG", "x | study")), list(tau2 = c(0.2, 0.1)))
run("two_structs", "Two structured terms and an intercept", slope,
    list(intercept("1 | id"), structured("CS", "outcome | district"),
         structured("AR", "time | study")),
    list(sigma2 = 0.03, tau2 = 0.2, rho = 0.4, gamma2 = 0.1, phi = 0.6), blocks)

holes <- dat
holes$yi[c(2, 9)] <- NA
holes$x[15] <- NA
run("missing", "Rows with missing values", slope, list(intercept("1 | study/id")),
    list(sigma2 = c(0.07, 0.11)), blocks, data = holes)
run("missing_un", "Unstructured, rows with missing values", slope,
    list(structured("UN", "outcome | study")),
    list(tau2 = c(0.2, 0.1, 0.4), rho = c(0.6, 0.2, -0.3)), blocks, data = holes)
