# Effect sizes and sampling variances of metafor's escalc, one case per measure and option
# combination, with the inputs.  The inputs are metadat's public tables where one fits, else
# invented numbers chosen to be unlike each other.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/escalc.R

suppressMessages(library(metafor))
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))

groups <- list(m1i = c(103.2, 12.5, 4.4, 55, 7.25, 18), m2i = c(98.7, 14.1, 4.1, 40.5, 6.5, 18.9),
               sd1i = c(15.1, 3.3, 1.2, 21, 2.5, 6.6), sd2i = c(13.4, 2.9, 1.6, 12.4, 2.25, 3.1),
               n1i = c(24, 51, 8, 130, 17, 4), n2i = c(31, 47, 12, 90, 15, 5))
standardized <- list(di = c(0.31, -0.5, 1.4, 0.02), n1i = c(24, 51, 8, 130), n2i = c(31, 47, 12, 90))
statistics <- list(ti = c(1.31, -2.5, 3.4, 0.02), n1i = c(24, 51, 8, 130), n2i = c(31, 47, 12, 90))
partly <- list(m1i = c(103.2, NA, NA, NA), m2i = c(98.7, 14.1, NA, 4), sd1i = c(15.1, 3.3, NA, 2),
               sd2i = c(13.4, 2.9, 1.6, 2), n1i = c(24, 51, 8, 130), n2i = c(31, 47, 12, 90),
               di = c(NA, -0.5, NA, NA), ti = c(NA, NA, 3.4, NA))
bcg <- list(ai = dat.bcg$tpos, bi = dat.bcg$tneg, ci = dat.bcg$cpos, di = dat.bcg$cneg)
zeros <- list(ai = c(4, 0, 0, 11, 25, 8), bi = c(16, 20, 14, 0, 75, 12),
              ci = c(7, 3, 0, 9, 14, 10), di = c(13, 18, 15, 0, 61, 19))
margins <- list(ai = zeros$ai, n1i = zeros$ai + zeros$bi, ci = zeros$ci, n2i = zeros$ci + zeros$di)
small <- list(ai = c(40, 14, 5, 9), bi = c(10, 6, 20, 4), ci = c(12, 9, 20, 3), di = c(35, 21, 7, 18))
times <- list(x1i = c(7, 0, 0, 41, 3), t1i = c(1344, 1988, 240.5, 8051, 37),
              x2i = c(11, 1, 0, 63, 5), t2i = c(1988, 1460, 198, 7990, 29.5))
rate <- list(xi = c(7, 0, 41, 1, 3), ti = c(1344, 1988, 8051, 26.5, 2))
correlations <- list(ri = c(0.35, -0.62, 0, 0.91, 0.08), ni = c(26, 78, 12, 140, 7))
regressions <- list(ti = c(2.1, -1.4, 0.3, 6.5), ni = c(45, 120, 30, 88), mi = c(3, 8, 2, 5),
                    r2i = c(0.3, 0.15, 0.22, 0.61))
proportions <- list(xi = c(3, 0, 18, 40, 12), ni = c(20, 15, 18, 150, 31))
complements <- list(xi = c(3, 0, 18, 40), mi = c(17, 15, 0, 110))
means <- list(mi = c(12.1, 3.3, 150, 7), sdi = c(3.4, 1.6, 22, 2.9), ni = c(30, 11, 200, 5))
change <- list(m1i = c(30.2, 12.5, 4.4, 55), m2i = c(25.1, 14.1, 4.1, 40.5), sd1i = c(8.1, 3.3, 1.2, 21),
               sd2i = c(7.4, 2.9, 1.6, 12.4), ri = c(0.7, 0.35, 0, -0.2), ni = c(24, 51, 8, 130))
paired <- list(ai = c(14, 3, 0, 45, 21), bi = c(6, 9, 4, 11, 0), ci = c(9, 2, 3, 20, 8), di = c(21, 7, 12, 64, 15))
marginal <- c(paired[c("ai")], list(bi = c(16, 9, 8, 31, 12), ci = c(9, 2, 3, 20, 18), di = c(21, 10, 5, 56, 15),
              ri = c(0.4, 0.1, 0.25, -0.1, 0.6)))
alphas <- list(ai = c(0.81, 0.66, 0.93, 0.4), mi = c(10, 4, 22, 6), ni = c(103, 48, 250, 20))
genotypes <- list(ai = c(44, 12, 130, 5), bi = c(51, 33, 88, 9), ci = c(20, 14, 21, 0))
ready <- list(yi = c(0.2, -0.4, 1.1), vi = c(0.04, 0.09, 0.5))

cases <- list()
add_case <- function(measure, inputs, ...) {
  options <- list(...)
  result <- suppressWarnings(do.call(escalc, c(list(measure = measure), inputs, options)))
  cases[[length(cases) + 1]] <<- list(
    measure = measure, inputs = lapply(inputs, I), options = if (length(options)) options,
    yi = I(c(unclass(result$yi))), vi = I(c(unclass(result$vi))), ni = if (measure != "GEN") I(c(attr(result$yi, "ni"))))
}

each <- function(measures, inputs, ...) for (m in measures) add_case(m, inputs, ...)
with_vtypes <- function(measures, inputs, vtypes) for (v in vtypes) each(measures, inputs, vtype = v)

each(c("MD", "SMD", "SMDH", "SMD1", "SMD1H", "ROM", "VR", "CVR", "D2OR", "D2ORL", "D2ORN"), groups)
with_vtypes("MD", groups, c("UB", "HO"))
with_vtypes(c("SMD", "SMD1"), groups, c("LS2", "UB", "AV"))
with_vtypes("ROM", groups, c("HO", "AV", "AVHO"))
add_case("SMD", groups, vtype = c("LS", "LS2", "UB", "AV", "LS", "UB"))
for (inputs in list(standardized, statistics, partly)) {
  each("SMD", inputs)
  with_vtypes("SMD", inputs, c("LS2", "UB", "AV"))
}

# Zero cells: every rule, with the amount of the measure and with another, keeping and dropping
# studies without events.
with_zero_rules <- function(measures, inputs, drops = c(FALSE, TRUE), add = 0.25) {
  each(measures, inputs)
  for (to in c("all", "only0", "if0all", "none")) for (drop in drops) {
    options <- c(list(to = to), if (drop) list(drop00 = TRUE))
    for (m in measures) do.call(add_case, c(list(m, inputs), options))
    for (m in measures) do.call(add_case, c(list(m, inputs, add = add), options))
  }
}

tables <- c("OR", "RR", "RD", "PETO", "AS", "PBIT", "OR2D", "OR2DL", "OR2DN", "YUQ", "YUY", "PHI")
each(tables, bcg)
each(tables, margins)
with_zero_rules(tables, zeros)
with_vtypes("PHI", bcg, c("ST", "CS"))
add_case("PHI", zeros, vtype = c("ST", "CS", "ST", "CS", "ST", "ST"))
with_vtypes("RD", bcg, c("UB", "AV"))
with_vtypes("RD", zeros, c("UB", "AV"))
with_zero_rules("RTET", small)

with_zero_rules(c("IRR", "IRD", "IRSD"), times)
with_zero_rules(c("IR", "IRLN", "IRS", "IRFT"), rate, FALSE)

each(c("COR", "UCOR", "ZCOR"), correlations)
with_vtypes(c("COR", "UCOR"), correlations, "AV")
with_vtypes("UCOR", correlations, "UB")
each(c("PCOR", "ZPCOR"), regressions[c("ti", "ni", "mi")])
each("SPCOR", regressions)
with_vtypes("PCOR", regressions[c("ti", "ni", "mi")], "AV")
with_vtypes("SPCOR", regressions, "AV")
with_vtypes("RPB", groups, c("ST", "CS"))
add_case("RPB", groups, vtype = c("ST", "CS", "CS", "ST", "ST", "CS"))
each("RBIS", groups)

each(c("PR", "PLN", "PLO", "PAS", "PFT"), complements)
with_zero_rules(c("PR", "PLN", "PLO", "PAS", "PFT"), proportions, FALSE)
with_vtypes(c("PR", "PLN", "PLO"), proportions, "AV")
with_vtypes("PR", proportions, "UB")

each(c("MN", "SMN", "MNLN", "CVLN", "SDLN"), means)
each(c("MC", "SMCC", "SMCR", "SMCRH", "ROMC", "VRC", "CVRC"), change)
with_vtypes(c("SMCC", "SMCR"), change, "LS2")
with_zero_rules(c("MPRD", "MPRR", "MPOR", "MPORC", "MPPETO"), paired, FALSE)
# metafor rounds the number of pairs after adding; here it stays whole.
with_zero_rules("MPORM", marginal, FALSE, add = 1)
each(c("ARAW", "AHW", "ABT"), alphas)
with_zero_rules("REH", genotypes, FALSE)
each("GEN", ready)

# Transformations: name, arguments, values.
x <- c(-1.2, -0.3, 0.05, 0.7, 1.3)
p <- c(0.02, 0.3, 0.5, 0.85, 0.99)
r <- c(-0.8, -0.2, 0, 0.4, 0.95)
n <- c(12, 30, 45, 18, 100)
transformed <- list(
  rtoz = list(args = list(r), value = transf.rtoz(r)),
  ztor = list(args = list(x), value = transf.ztor(x)),
  logit = list(args = list(p), value = transf.logit(p)),
  ilogit = list(args = list(x), value = transf.ilogit(x)),
  arcsin = list(args = list(p), value = transf.arcsin(p)),
  iarcsin = list(args = list(c(-0.1, 0, 0.6, 1.1, 1.7)), value = transf.iarcsin(c(-0.1, 0, 0.6, 1.1, 1.7))),
  pft = list(args = list(p, n), value = transf.pft(p, n)),
  ipft = list(args = list(c(0.02, 0.3, 0.7, 1.2, 1.55), n), value = transf.ipft(c(0.02, 0.3, 0.7, 1.2, 1.55), n)),
  isqrt = list(args = list(abs(x)), value = transf.isqrt(abs(x))),
  irft = list(args = list(p, n), value = transf.irft(p, n)),
  iirft = list(args = list(c(0.05, 0.3, 0.7, 1.2, 1.55), n), value = transf.iirft(c(0.05, 0.3, 0.7, 1.2, 1.55), n)),
  ahw = list(args = list(p), value = transf.ahw(p)),
  iahw = list(args = list(p), value = transf.iahw(p)),
  abt = list(args = list(p), value = transf.abt(p)),
  iabt = list(args = list(p), value = transf.iabt(p)),
  dtou1 = list(args = list(x), value = transf.dtou1(x)),
  dtou2 = list(args = list(x), value = transf.dtou2(x)),
  dtou3 = list(args = list(x), value = transf.dtou3(x)),
  dtocles = list(args = list(x), value = transf.dtocles(x)),
  dtorpb = list(args = list(x), value = transf.dtorpb(x)),
  dtorpb_n = list(args = list(x, n, rev(n)), value = transf.dtorpb(x, n, rev(n))),
  dtobesd = list(args = list(x), value = transf.dtobesd(x)),
  dtomd = list(args = list(x, I(2.5)), value = transf.dtomd(x, 2.5)),
  logortord = list(args = list(x, p), value = transf.logortord(x, p)),
  logortorr = list(args = list(x, p), value = transf.logortorr(x, p)),
  ipft_hm = list(args = list(c(0.02, 0.3, 0.7, 1.2, 1.55), I(n)),
                 value = transf.ipft.hm(c(0.02, 0.3, 0.7, 1.2, 1.55), list(ni = n))),
  exp_int = list(args = list(x, 0.2), value = sapply(x, transf.exp.int, list(tau2 = 0.2, lower = -8, upper = 8))),
  ztor_int = list(args = list(x, 0.2), value = sapply(x, transf.ztor.int, list(tau2 = 0.2, lower = -8, upper = 8))),
  ilogit_int = list(args = list(x, 0.2), value = sapply(x, transf.ilogit.int, list(tau2 = 0.2, lower = -8, upper = 8)))
)

write_json(list(program = paste("metafor", packageVersion("metafor")), cases = cases,
                transf = transformed), file.path(here, "metafor", "escalc.json"))
