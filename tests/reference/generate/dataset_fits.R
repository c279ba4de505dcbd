# The model in the example of every data set, fitted by rma.mv (location-scale models by rma):
# log-likelihood, coefficients, standard errors and components in the order of ours.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/dataset_fits.R
# Reads the csv files of mvmeta/datasets; takes ape for the trees and some minutes.

suppressMessages({
  library(metafor)
  library(metadat)
})
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))
options(warn = 1)

load_csv <- function(name) {
  read.csv(file.path("mvmeta", "datasets", paste0(name, ".csv")), na.strings = "",
           stringsAsFactors = FALSE, encoding = "UTF-8")
}

# Levels in the order of Python, whatever the locale; a reference level first.
levels_of <- function(x, first = NULL) {
  found <- sort(unique(as.character(x)), method = "radix")
  factor(x, levels = c(first, setdiff(found, first)))
}

report <- function(name, fit, se = fit$se) {
  parts <- list(fit$sigma2, if (fit$withG) c(fit$tau2, if (fit$struct[1] != "DIAG") fit$rho))
  components <- unlist(parts[c(fit$withS, fit$withG)])
  cat(name, format(as.numeric(logLik(fit)), digits = 12), components, "\n")
  list(loglik = as.numeric(logLik(fit)), beta = I(c(unname(fit$beta))), se = I(c(se)),
       components = I(components), at_maximum = !(fit$withS && all(fit$vc.fix$sigma2)))
}
mv <- function(name, ..., dat = load_csv(name), sampling = dat$vi, mods = ~ 1,
               random = ~ 1 | study) {
  report(name, rma.mv(yi, sampling, mods = mods, random = random, data = dat, ...))
}

fits <- list()
for (name in c("aloe2013", "frank2008", "hart1999", "hine1989", "normand1999", "pritz1997")) {
  fits[[name]] <- mv(name)
}

toy <- load_csv("toy")
toy <- transform(toy, yi = d, vi = Variance)
fits$toy <- mv("toy", dat = toy, mods = ~ Category - 1, random = ~ 1 | Study)
fits$konstantopoulos2011 <- mv("konstantopoulos2011", random = ~ 1 | district/school)
assink <- load_csv("assink2016")
fits$assink2016 <- mv("assink2016", mods = ~ deltype + pubstatus, random = ~ 1 | study/esid,
                      sampling = vcalc(vi, study, obs = esid, rho = 0.6, data = assink))
berkey <- load_csv("berkey1998")
periodontal <- lapply(split(berkey[c("v1i", "v2i")], berkey$trial), as.matrix)
fits$berkey1998 <- mv("berkey1998", sampling = bldiag(periodontal),
                      mods = ~ outcome - 1, random = ~ outcome | trial, struct = "UN")
fits$bcg <- mv("bcg", mods = ~ ablat, random = ~ 1 | trial)
senn <- load_csv("senn2013")
senn$study <- levels_of(senn$study)
senn$treatment <- levels_of(senn$treatment, "placebo")
fits$senn2013 <- mv("senn2013", dat = senn, mods = ~ study + treatment - 1,
                    random = ~ treatment | study, rho = 0.5)
ishak <- load_csv("ishak2007")
fits$ishak2007 <- mv("ishak2007", mods = ~ factor(time) - 1, random = ~ time | study,
                     struct = "HAR",
                     sampling = vcalc(vi, study, time1 = time, phi = 0.97, data = ishak))
bakdash <- load_csv("bakdash2021")
bakdash$measure <- levels_of(bakdash$measure)
fits$bakdash2021 <- mv("bakdash2021", dat = bakdash, mods = ~ measure - 1,
                       random = ~ 1 | study/effect)

bangert <- load_csv("bangertdrowns2004")
scaled <- rma(yi, vi, mods = ~ meta, scale = ~ meta, data = bangert[!is.na(bangert$meta), ])
fits$bangertdrowns2004 <- list(
  loglik = as.numeric(logLik(scaled)), beta = I(c(unname(scaled$beta))), se = I(scaled$se),
  components = I(c(exp(scaled$alpha[1]), scaled$alpha[2])), at_maximum = TRUE
)
fits$bonett2010 <- mv("bonett2010", mods = ~ caregivers)
fits$bornmann2007 <- mv("bornmann2007", mods = ~ type, random = ~ 1 | study/obs)
fits$bourassa1996 <- mv("bourassa1996", random = ~ 1 | study/sample,
                        dat = subset(load_csv("bourassa1996"), sex == "combined"))
craft <- subset(load_csv("craft2003"), study != 17 & !is.na(ri))  # 17: covariances not determined
craft <- rcalc(ri ~ var1 + var2 | study, ni = ni, data = craft)
craft$dat$pair <- levels_of(craft$dat$var1.var2)
fits$craft2003 <- mv("craft2003", dat = craft$dat, sampling = craft$V, mods = ~ pair - 1,
                     random = ~ pair | study, struct = "DIAG")
fits$crede2010 <- mv("crede2010", random = ~ 1 | studyid/sampleid,
                     dat = subset(load_csv("crede2010"), criterion == "grade"))
fits$curtis1998 <- mv("curtis1998", mods = ~ fungrp, random = ~ 1 | paper/id)
fine <- load_csv("fine1993")
glioma <- lapply(split(fine[paste0("v", 1:4, "i")], fine$study),
                 function(v) as.matrix(v[, !is.na(v[1, ])]))
fits$fine1993 <- mv("fine1993", sampling = bldiag(glioma), mods = ~ factor(time) - 1,
                    random = ~ time | study, struct = "AR")
hasselblad <- load_csv("hasselblad1998")
hasselblad$trt <- levels_of(hasselblad$trt, "no_contact")
fits$hasselblad1998 <- mv("hasselblad1998", dat = hasselblad, mods = ~ factor(study) + trt - 1,
                          random = ~ trt | study, rho = 0.5)
kalaian <- load_csv("kalaian1996")
fits$kalaian1996 <- mv("kalaian1996", mods = ~ outcome - 1, random = ~ outcome | study,
                       struct = "UN",
                       sampling = vcalc(vi, study, type = outcome, rho = 0.66, data = kalaian))
kearon <- subset(load_csv("kearon1998"), patients == "asymptomatic" & !is.na(yi))
fits$kearon1998 <- mv("kearon1998", dat = kearon, mods = ~ outcome - 1,
                      random = ~ outcome | study, struct = "UN")
knapp <- load_csv("knapp2017")
fits$knapp2017 <- mv("knapp2017", random = ~ 1 | study/comp,
                     sampling = vcalc(vi, study, grp1 = group1, grp2 = group2, w1 = n_sz, w2 = n_hc,
                               obs = condition, rho = 0.4, data = knapp))
rivers <- load_csv("maire2019")
between <- dat.maire2019$dmat
rivers$const <- 1
fits$maire2019 <- report("maire2019", rma.mv(
  yi, vi, random = ~ site_station | const, struct = "SPGAU", dist = list(between), data = rivers,
  control = list(rho.init = 10)  # another maximum is near the default start
))
fits$morris2008 <- mv("morris2008", mods = ~ group, random = ~ 1 | study/group)
fits$obrien2003 <- mv("obrien2003", mods = ~ bmi_centred, random = ~ bmi_centred | study,
                      struct = "GEN")
fits$pignon2000 <- mv("pignon2000", mods = ~ factor(grp) - 1, random = ~ 1 | trial)
fits$raudenbush1985 <- mv("raudenbush1985", mods = ~ weeks)
riley <- load_csv("riley2003")
fits$riley2003 <- mv("riley2003", mods = ~ outcome - 1, random = ~ outcome | study, struct = "UN",
                     sampling = vcalc(vi, study, type = outcome, rho = 0.7, data = riley))
motivation <- load_csv("tannersmith2016")
motivation$effect <- seq_len(nrow(motivation))
working <- rma.mv(yi, vcalc(vi, studyid, obs = effect, rho = 0.8, data = motivation),
                  random = ~ 1 | studyid/effect, data = motivation)
fits$tannersmith2016 <- report("tannersmith2016", working,
                               robust(working, cluster = motivation$studyid,
                                      clubSandwich = TRUE)$se)
fits$yusuf1985 <- mv("yusuf1985", random = ~ 1 | trial,
                     dat = subset(load_csv("yusuf1985"), table == "6" & !is.na(yi)))

phylogeny <- function(tree) {
  A <- ape::vcv(ape::compute.brlen(tree), corr = TRUE)
  rownames(A) <- colnames(A) <- sub("_ott[0-9]+$", "", rownames(A))
  A
}
species <- function(name, tree, first, mods, ...) {
  dat <- load_csv(name)
  dat$tip <- dat$species
  mv(name, dat = dat, mods = mods, R = list(tip = phylogeny(tree)),
     random = list(first, ~ 1 | effect, ~ 1 | species, ~ 1 | tip), ...)
}
fits$lim2014 <- species("lim2014", dat.lim2014$o_o_adj_tree, ~ 1 | article, ~ 1)
recall <- load_csv("mccurdy2020")
recall$condition <- levels_of(recall$condition, "read")
fits$mccurdy2020 <- mv("mccurdy2020", dat = recall, mods = ~ condition, sparse = TRUE,
                       random = list(~ 1 | article/experiment/sample/id, ~ 1 | pairing))
# One evaluation of M takes seconds here, a search an hour: at the estimates that the documentation
# of metadat prints.
fits$moura2021 <- species("moura2021", dat.moura2021$tree, ~ 1 | study,
                          ~ spatially_pooled * temporally_pooled,
                          sigma2 = c(0.0198, 0.0144, 0.0525, 0.0532))

write_json(list(metafor = as.character(packageVersion("metafor")), fits = fits),
           file.path(here, "metafor", "dataset_fits.json"))
