# Cluster-robust inference: clubSandwich for groups coarser than the grouping of the model and
# for user weights, metafor for groups that are crossed, sandwich for several groupings at once.
# The components are fixed, so that only the sandwich is compared.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/robust.R

suppressMessages({
  library(metafor)
  library(clubSandwich)
  library(sandwich)
})

here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))

kinds <- c("CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3")

one_kind <- function(res, cluster, kind, joint) {
  V <- vcovCR(res, type = kind, cluster = cluster)
  t <- coef_test(res, vcov = V, test = "Satterthwaite")
  w <- Wald_test(res, constraints = constrain_zero(joint), vcov = V, test = "HTZ")
  list(vcov = unname(as.matrix(V)), df = I(t$df), p = I(t$p_Satt),
       F = w$Fstat, df_num = w$df_num, df_denom = w$df_denom, F_p = w$p_val)
}

clubs <- function(res, cluster, joint) {
  out <- lapply(kinds, function(k) one_kind(res, cluster, k, joint))
  c(list(cluster = I(as.integer(factor(cluster))), joint = I(joint - 1L)), setNames(out, kinds))
}

konst <- metadat::dat.konstantopoulos2011
konst$decade <- (konst$year - 1990) / 10
konst$w <- 1 / (konst$vi + 0.1 + (seq_len(nrow(konst)) %% 3) / 10)
konst$region <- konst$district %/% 100
berkey <- metadat::dat.berkey1998
V <- bldiag(lapply(split(berkey[, c("v1i", "v2i")], berkey$trial), as.matrix))
berkey$pair <- (berkey$trial + 1) %/% 2

three <- function(...) rma.mv(yi, vi, mods = ~ decade, random = ~ 1 | district/school,
                              sigma2 = c(0.06, 0.03), data = konst, ...)
berkey_un <- rma.mv(yi, V, mods = ~ outcome - 1, random = ~ outcome | trial, struct = "UN",
                    tau2 = c(0.033, 0.012), rho = 0.6, data = berkey)

# a level that one cluster has alone: clubSandwich gives it a CR1 of 0 but for rounding, and a CR2 with one df
konst$kind <- ifelse(konst$district == 11, "only", "rest")
level <- rma.mv(yi, vi, mods = ~ kind - 1, random = ~ 1 | district/school, sigma2 = c(0.05, 0.03), data = konst)
alone <- lapply(setNames(nm = c("CR0", "CR1", "CR2")), function(kind) {
  t <- coef_test(level, vcov = kind, cluster = konst$district)
  list(se = I(t$SE), df = I(t$df), p = I(t$p_Satt))
})

# one-way sandwiches of crossed effects, which metafor computes whatever the clusters are
crossed <- rma.mv(yi, vi, mods = ~ decade, random = list(~ 1 | district, ~ 1 | year),
                  sigma2 = c(0.05, 0.02), data = konst)
plain <- function(cluster) {
  r <- robust(crossed, cluster = cluster, adjust = FALSE)
  list(cluster = I(as.integer(factor(cluster))), vcov = unname(r$vb))
}

# several groupings: weighted least squares
line <- lm(yi ~ decade, data = konst, weights = w)
several <- function(groups, type, cadjust, fix) unname(vcovCL(
  line, cluster = konst[, groups], type = type, cadjust = cadjust, fix = fix))
konst$third <- seq_len(nrow(konst)) %% 3
konst$fifth <- (seq_len(nrow(konst)) %/% 2) %% 5
multiway <- function(groups) list(
  groups = I(groups), CR0 = several(groups, "HC0", FALSE, FALSE),
  CR1 = several(groups, "HC0", TRUE, FALSE), CR1S = several(groups, "HC1", TRUE, FALSE),
  CR0_fixed = several(groups, "HC0", FALSE, TRUE))

versions <- function(names) setNames(lapply(names, function(n) as.character(packageVersion(n))), names)
write_json(list(
  versions = c(versions(c("metafor", "clubSandwich", "sandwich")), R = as.character(getRversion())),
  konst = konst[, c("yi", "vi", "district", "school", "year", "decade", "w", "region", "third", "fifth")],
  berkey = list(yi = I(berkey$yi), trial = I(berkey$trial), outcome = I(as.character(berkey$outcome)),
                V = unname(V)),
  finest = clubs(three(), konst$district, 1:2),
  coarser = clubs(three(), konst$region, 2),
  weighted = clubs(three(W = konst$w), konst$district, 1:2),
  weighted_coarser = clubs(three(W = konst$w), konst$region, 2),
  alone = alone,
  multivariate = clubs(berkey_un, berkey$trial, 1:2),
  crossed = lapply(list(konst$district, konst$year, paste(konst$district, konst$year)), plain),
  multiway = lapply(list(c("district", "year"), c("third", "fifth"), c("district", "year", "third")), multiway)
), file.path(here, "robust.json"))
