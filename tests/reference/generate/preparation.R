# From study results to V and to one row per study: rcalc, aggregate, to.long, to.wide, contrmat.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/preparation.R

suppressMessages(library(metafor))
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))
options(warn = -1)

craft <- dat.craft2003[c("study", "ri", "var1", "var2", "ni")]
craft <- craft[!craft$study %in% craft$study[is.na(craft$ri)], ]
craft$ni[3] <- 140  # unequal sample sizes in a study
upper <- function(V) V[upper.tri(V, diag = TRUE)]
correlations <- function(...) {
  t <- rcalc(ri ~ var1 + var2 | study, ni = ni, data = craft, ...)
  list(study = t$dat$study, yi = t$dat$yi, ni = t$dat$ni, row_sums = rowSums(t$V),
       first = upper(unname(as.matrix(t$V))[1:6, 1:6]))
}

assink <- escalc(yi = yi, vi = vi, data = dat.assink2016)
assink <- assink[c("study", "esid", "year", "deltype", "yi", "vi")]
assink$half <- assink$esid %/% 2
assink$odd <- assink$esid %% 2
by <- function(a) {
  list(yi = c(a$yi), vi = a$vi, year = a$year, deltype = a$deltype, ki = a$ki)
}

bcg <- to.long("OR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg, append = FALSE)
hart <- to.long("IRR", x1i = x1i, x2i = x2i, t1i = t1i, t2i = t2i, data = dat.hart1999, append = FALSE)
normand <- to.long("SMD", m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i,
                   data = dat.normand1999, append = FALSE)
tall <- to.long("OR", ai = tpos, bi = tneg, ci = cpos, di = cneg, data = dat.bcg, append = FALSE, vlong = TRUE)

senn <- dat.senn2013[c(1, 4, 3, 2, 5, 6)]
wide <- to.wide(senn, study = "study", grp = "treatment", ref = "placebo", grpvars = 4:6)
design <- contrmat(wide, grp1 = "treatment.1", grp2 = "treatment.2", append = FALSE)

plain <- function(d) lapply(as.list(d), function(v) if (is.factor(v)) as.character(v) else c(unclass(v)))
write_json(list(
  metafor_version = as.character(packageVersion("metafor")),
  craft = craft, rcalc = list(r = correlations(), z = correlations(rtoz = TRUE),
                              harmonic = correlations(nfun = "harmonic"), mean = correlations(nfun = "mean")),
  aggregate = list(
    data = plain(assink),
    CS = by(aggregate(assink, cluster = study, addk = TRUE, rho = 0.6)),
    ID = by(aggregate(assink, cluster = study, addk = TRUE, struct = "ID")),
    CAR = by(aggregate(assink, cluster = study, addk = TRUE, struct = "CAR", time = esid, phi = 0.8)),
    both = by(aggregate(assink, cluster = study, addk = TRUE, struct = "CS+CAR", time = esid, rho = 0.3, phi = 0.8)),
    product = by(aggregate(assink, cluster = study, addk = TRUE, struct = "CS*CAR", time = half, obs = odd,
                           rho = 0.3, phi = 0.8)),
    plain = by(aggregate(assink, cluster = study, addk = TRUE, rho = 0.6, weighted = FALSE))),
  long = list(bcg = plain(bcg), hart = plain(hart), normand = plain(normand), tall = plain(tall)),
  senn = plain(senn), wide = plain(wide), design = list(names = colnames(design), matrix = unname(as.matrix(design)))),
  file.path(here, "metafor", "preparation.json"))
