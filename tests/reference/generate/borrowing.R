# Borrowing of strength by two fits of rma.mv: of all rows, and of the rows that observe an estimate
# directly, with the variance components held at the same values.  This is the comparison of
# precision that Jackson, White, Price, Copas & Riley (2017, Stat Methods Med Res 26:2853) define;
# their own example is in tests/reference/published; these numbers are computed from other data.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/borrowing.R

suppressMessages({
  library(metadat)
  library(metafor)
})
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))
options(warn = -1)

pair <- function(joint, direct, j = 1, d = 1) {
  list(joint = joint$beta[j], joint_se = joint$se[j], direct = direct$beta[d],
       direct_se = direct$se[d], borrowed = 1 - joint$se[j]^2 / direct$se[d]^2)
}

# Outcomes of one study: the mean of each, against the rows of that outcome alone.
outcomes <- function(yi, V, outcome, study, tau2, rho) {
  outcome <- factor(outcome)
  joint <- rma.mv(yi, V, mods = ~ 0 + outcome, random = ~ outcome | study, struct = "UN",
                  tau2 = tau2, rho = rho, data = data.frame(yi, outcome, study))
  rows <- lapply(seq_along(levels(outcome)), function(i) {
    own <- outcome == levels(outcome)[i]
    direct <- rma.mv(yi[own], V[own, own], random = ~ 1 | s, sigma2 = tau2[i],
                     data = data.frame(s = study[own]))
    pair(joint, direct, i)
  })
  list(tau2 = tau2, rho = rho, yi = yi, V = V, outcome = as.character(outcome),
       study = study, levels = I(levels(outcome)), rows = rows)
}

berkey <- dat.berkey1998
berkey_v <- bldiag(lapply(split(berkey[c("v1i", "v2i")], berkey$trial), as.matrix))

kalaian <- dat.kalaian1996
sampling <- vcalc(vi, cluster = study, type = outcome, data = kalaian, rho = 0.66)

# A network by arms: study means fixed, treatments against placebo, all arms of a study
# correlated at one half.  Direct: the arms of both treatments in the studies that have both.
senn <- escalc("MN", mi = mi, sdi = sdi, ni = ni, data = dat.senn2013)
senn$treatment <- relevel(factor(senn$treatment), ref = "placebo")
tau2 <- 0.05
network <- function(dat) {
  dat$treatment <- droplevels(dat$treatment)
  rma.mv(yi, vi, mods = if (length(unique(dat$study)) > 1) ~ treatment + study else ~ treatment,
         random = ~ treatment | study, struct = "CS", tau2 = tau2, rho = 0.5, data = dat)
}
joint <- network(senn)
compare <- function(name) {
  both <- Reduce(intersect, lapply(c(name, "placebo"),
                                   function(t) unique(senn$study[senn$treatment == t])))
  own <- senn$study %in% both & senn$treatment %in% c(name, "placebo")
  direct <- network(senn[own, ])
  at <- paste0("treatment", name)
  c(list(treatment = name, n_groups = length(both), n_rows = sum(own)),
    pair(joint, direct, which(rownames(joint$beta) == at), which(rownames(direct$beta) == at)))
}

# Ten categories in 79 studies, most of which saw one: study and estimate-level effects.
bakdash <- dat.bakdash2021
sigma2 <- c(0.03, 0.012)
categories <- rma.mv(es.z, vi.z, mods = ~ 0 + SA.measure.type, sigma2 = sigma2,
                     random = ~ 1 | SampleID/Outcome, data = bakdash, sparse = TRUE)
measures <- sort(unique(bakdash$SA.measure.type), method = "radix")
own_measure <- function(m) {
  direct <- rma.mv(es.z, vi.z, random = ~ 1 | SampleID/Outcome, sigma2 = sigma2,
                   data = bakdash[bakdash$SA.measure.type == m, ])
  at <- which(rownames(categories$beta) == paste0("SA.measure.type", m))
  c(list(measure = m), pair(categories, direct, at))
}

write_json(list(
  metafor = as.character(packageVersion("metafor")),
  metadat = as.character(packageVersion("metadat")),
  outcomes = list(
    berkey1998 = outcomes(berkey$yi, berkey_v, berkey$outcome, berkey$trial, c(0.03, 0.012), 0.6),
    kalaian1996 = outcomes(kalaian$yi, sampling, kalaian$outcome, kalaian$study,
                           c(0.012, 0.003), -0.5)
  ),
  network = list(tau2 = tau2, rho = 0.5,
                 rows = lapply(c("metformin", "rosiglitazone", "acarbose", "miglitol",
                                 "pioglitazone"), compare)),
  categories = list(sigma2 = sigma2, rows = lapply(measures, own_measure))
), file.path(here, "metafor", "borrowing.json"))
