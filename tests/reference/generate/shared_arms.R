# Covariances of effects that share arms, by the published formulas of each measure, and fits with
# them by metafor: several treatments and several endpoints (Gleser & Olkin 2009, The Handbook of
# Research Synthesis and Meta-Analysis, ch. 19), shared controls of ratios of means (Lajeunesse 2011, Ecology 92:2049), and
# several outcomes (Wei & Higgins 2013, Stat Med 32:1191), exclusive and nested events (Trikalinos &
# Olkin 2008, Stat Med 27:4279; 2012, Clin Trials 9:610).
#
# usage (from the root of the repository):  Rscript tests/reference/generate/shared_arms.R

suppressMessages({library(metafor); library(metadat)})
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))
options(warn = -1)

# V from a function of two rows (one-row data frames), within studies.
build <- function(d, f, by = d$study) {
  V <- diag(d$vi, nrow(d))
  for (i in seq_len(nrow(d))) for (j in seq_len(nrow(d)))
    if (i != j && by[i] == by[j]) V[i, j] <- f(d[i, ], d[j, ])
  V
}
fit <- function(d, V, mods) {
  m <- rma.mv(yi, V, mods = mods, data = d)
  list(est = c(m$beta), se = m$se, QE = m$QE)
}
case <- function(d, V, mods) list(yi = c(d$yi), V = unname(V), fit = fit(d, V, mods))

# Gleser & Olkin, table 19.1: proportions, several treatments (counts ci of n2i) and a control.
p <- data.frame(study = c(1, 1, 2, 3, 3, 3), trt = c(1, 2, 1, 1, 2, 3),
                ai = c(40, 40, 10, 150, 150, 150), n1i = c(1000, 1000, 200, 2000, 2000, 2000),
                ci = c(100, 150, 15, 40, 80, 50), n2i = c(4000, 4000, 400, 1000, 1000, 1000))
shared <- list(
  RD = function(a, b) (a$ai / a$n1i) * (1 - a$ai / a$n1i) / a$n1i,
  OR = function(a, b) 1 / a$ai + 1 / (a$n1i - a$ai),
  RR = function(a, b) 1 / a$ai - 1 / a$n1i,
  AS = function(a, b) 1 / (4 * a$n1i),
  # Without an effect the risk of the control is that of both groups, and y is its difference over k = p (1 - p).
  PETO = function(a, b) {
    k <- function(x) { N <- x$n1i + x$n2i; m <- x$ai + x$ci; m * (N - m) / (N * (N - 1)) }
    1 / (sqrt(k(a) * k(b)) * a$n1i)
  },
  YUQ = function(a, b) (1 - a$yi^2) * (1 - b$yi^2) / 4 * (1 / a$ai + 1 / (a$n1i - a$ai)),
  YUY = function(a, b) (1 - a$yi^2) * (1 - b$yi^2) / 16 * (1 / a$ai + 1 / (a$n1i - a$ai)))
proportions <- lapply(setNames(nm = names(shared)), function(measure) {
  d <- escalc(measure, ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = p)
  case(d, build(d, shared[[measure]]), ~ factor(trt) - 1)
})

# Their example of several treatments and a quantitative response; standard deviations pooled over the groups of a study.
q <- data.frame(study = c(1, 1, 2, 3, 4, 4), trt = c(1, 2, 1, 1, 1, 2),
                m1i = c(7.87, 4.35, 9.32, 8.08, 7.44, 5.34), m2i = c(-1.36, -1.36, 0.98, 1.17, 0.45, 0.45),
                sdpi = c(4.2593, 4.2593, 2.8831, 3.1764, 2.9344, 2.9344),
                n1i = c(25, 22, 38, 50, 30, 30), n2i = c(25, 25, 40, 50, 30, 30))
q$Ni <- ave(q$n1i, q$study, FUN = sum) + q$n2i
q$yi <- with(q, (m1i - m2i) / sdpi)
q$vi <- with(q, 1 / n1i + 1 / n2i + yi^2 / (2 * Ni))
by_study <- case(q, build(q, function(a, b) 1 / a$n2i + a$yi * b$yi / (2 * a$Ni)), ~ factor(trt) - 1)

# Two endpoints of one sample, numbers made up in the manner of their example, r by study.
e <- data.frame(school = rep(1:7, each = 2), outcome = rep(c("math", "reading"), 7),
                m1i = c(2.3, 2.5, 2.4, 1.3, 2.5, 2.4, 3.3, 1.7, 1.1, 2.0, 2.8, 2.1, 1.7, 0.6),
                m2i = c(10.3, 6.6, 9.7, 3.1, 8.7, 3.7, 7.5, 8.5, 2.2, 2.1, 3.8, 1.4, 1.8, 3.9),
                sdpi = c(8.2, 7.3, 8.3, 8.9, 8.5, 8.3, 7.7, 9.8, 9.1, 10.4, 9.6, 7.9, 9.2, 10.2),
                ri = rep(c(0.55, 0.43, 0.57, 0.66, 0.51, 0.59, 0.49), each = 2),
                n1i = rep(c(22, 21, 26, 18, 38, 42, 39), each = 2),
                n2i = rep(c(24, 21, 23, 18, 36, 42, 38), each = 2))
e$yi <- with(e, round((m2i - m1i) / sdpi, 3))
e$vi <- with(e, 1 / n1i + 1 / n2i + yi^2 / (2 * (n1i + n2i)))
endpoints <- case(e, build(e, function(a, b) (1 / a$n1i + 1 / a$n2i) * a$ri +
                                             a$yi * b$yi / (2 * (a$n1i + a$n2i)) * a$ri^2, e$school),
                  ~ outcome - 1)

# Ratios of means, glass deltas and mean differences against one control.
set.seed(2011)
g <- data.frame(study = c(1, 1, 1, 2, 2, 3), trt = c("a", "b", "c", "a", "b", "a"))
g$m1i <- round(runif(6, 8, 14), 2); g$sd1i <- round(runif(6, 2, 4), 2); g$n1i <- c(20, 25, 31, 40, 44, 18)
g$m2i <- c(9, 9, 9, 11, 11, 10); g$sd2i <- c(3, 3, 3, 2.5, 2.5, 2.2); g$n2i <- c(28, 28, 28, 51, 51, 20)
control <- list(
  ROM = function(a, b) a$sd2i^2 / (a$n2i * a$m2i^2),
  MD = function(a, b) a$sd2i^2 / a$n2i,
  SMD1 = function(a, b) 1 / a$n2i + a$yi * b$yi / (2 * a$n2i),
  VR = function(a, b) 1 / (2 * (a$n2i - 1)),
  CVR = function(a, b) 1 / (2 * (a$n2i - 1)) + a$sd2i^2 / (a$n2i * a$m2i^2))
means <- lapply(setNames(nm = names(control)), function(measure) {
  d <- escalc(measure, m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i, data = g)
  case(d, build(d, control[[measure]]), ~ factor(trt) - 1)
})

# Two outcomes of the same people (n12 of them have both), by Wei & Higgins: r is their correlation.
w <- data.frame(study = rep(1:3, each = 2), out = rep(c("x", "y"), 3),
                ai = c(12, 20, 31, 25, 8, 14), n1i = c(50, 48, 90, 100, 40, 40),
                ci = c(22, 25, 40, 38, 15, 19), n2i = c(52, 50, 95, 90, 41, 41))
r <- 0.4
pair <- function(a, b, f) {  # the sum over both arms
  arm <- function(x1, n1, x2, n2) f(x1 / n1, x2 / n2) * min(n1, n2) / (n1 * n2)
  arm(a$ai, a$n1i, b$ai, b$n1i) + arm(a$ci, a$n2i, b$ci, b$n2i)
}
binary <- list(
  OR = function(p, q) r / sqrt(p * (1 - p) * q * (1 - q)),
  RR = function(p, q) r * sqrt((1 - p) * (1 - q) / (p * q)),
  RD = function(p, q) r * sqrt(p * (1 - p) * q * (1 - q)))
outcomes <- lapply(setNames(nm = names(binary)), function(measure) {
  d <- escalc(measure, ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = w)
  case(d, build(d, function(a, b) pair(a, b, binary[[measure]])), ~ out - 1)
})
d <- escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = w)
exclusive <- build(d, function(a, b) pair(a, b, function(p, q) -1 / ((1 - p) * (1 - q))))
nested <- build(d, function(a, b) pair(a, b, function(p, q) 1 / (pmax(p, q) * (1 - pmin(p, q)))))

# One outcome of the two is binary (log odds ratio), the other continuous (mean difference, SMD).
w$sd1i <- c(NA, 3, NA, 4, NA, 5); w$sd2i <- c(NA, 3.5, NA, 4.5, NA, 4.8)
w$m1i <- c(NA, 10, NA, 12, NA, 9); w$m2i <- c(NA, 8, NA, 11, NA, 9.5)
mixed <- lapply(c(MD = "MD", SMD = "SMD"), function(measure) {
  lor <- escalc("OR", ai = ai, n1i = n1i, ci = ci, n2i = n2i, data = w)
  con <- escalc(measure, m1i = m1i, sd1i = sd1i, n1i = n1i, m2i = m2i, sd2i = sd2i, n2i = n2i, data = w)
  d <- lor
  second <- seq(2, 6, 2)
  d$yi[second] <- con$yi[second]; d$vi[second] <- con$vi[second]
  V <- build(d, function(a, b) {
    if (a$out == "y") { t <- a; a <- b; b <- t }
    arm <- function(x, n, sd, m) r * sd / sqrt(x / n * (1 - x / n)) * min(n, m) / (n * m)
    unit <- if (measure == "MD") c(b$sd1i, b$sd2i) else c(1, 1)
    arm(a$ai, a$n1i, unit[1], b$n1i) + arm(a$ci, a$n2i, unit[2], b$n2i)
  })
  list(yi = c(d$yi), V = unname(V))
})

# Network of antidiabetic drugs: contrasts with the right V, against metafor's fit (?dat.senn2013).
senn <- dat.senn2013[c("study", "ni", "treatment", "mi", "sdi")]
wide <- to.wide(senn, study = "study", grp = "treatment", ref = "placebo", grpvars = c("mi", "sdi", "ni"))
wide <- escalc("MD", m1i = mi.1, sd1i = sdi.1, n1i = ni.1, m2i = mi.2, sd2i = sdi.2, n2i = ni.2, data = wide)
wide <- contrmat(wide, grp1 = "treatment.1", grp2 = "treatment.2")
S <- build(wide, function(a, b) a$sdi.2^2 / a$ni.2)
network <- rma.mv(yi, S, mods = ~ acarbose + benfluorex + metformin + miglitol + pioglitazone +
                    rosiglitazone + sitagliptin + sulfonylurea + vildagliptin - 1,
                  random = ~ comp | study, rho = 1/2, data = wide)

# The same network by other contrasts of each study, K its arms: y = K m, V = K diag(sd^2 / n) K'.
other_contrasts <- function(of_study) {
  rows <- lapply(split(senn, factor(senn$study, unique(senn$study))), function(d) {
    d <- of_study(d)
    list(y = c(d$K %*% d$arms$mi), V = d$K %*% diag(d$arms$sdi^2 / d$arms$ni) %*% t(d$K),
         first = d$arms$treatment[apply(d$K == 1, 1, which)], second = d$arms$treatment[apply(d$K == -1, 1, which)],
         study = d$arms$study[1])
  })
  rows <- rows[order(sapply(rows, function(r) r$study))]
  list(study = rep(sapply(rows, function(r) r$study), lengths(lapply(rows, `[[`, "y"))),
       first = unlist(lapply(rows, `[[`, "first"), use.names = FALSE),
       second = unlist(lapply(rows, `[[`, "second"), use.names = FALSE),
       yi = unlist(lapply(rows, `[[`, "y"), use.names = FALSE),
       V = unname(as.matrix(bldiag(unname(lapply(rows, `[[`, "V"))))))
}
successive <- other_contrasts(function(d) {
  d <- d[order(d$treatment, method = "radix"), ]
  m <- nrow(d); K <- cbind(-diag(m - 1), 0); K[cbind(1:(m - 1), 2:m)] <- 1
  list(arms = d, K = K)
})
every <- other_contrasts(function(d) {
  d <- d[order(d$treatment == "placebo", d$treatment, method = "radix"), ]
  pairs <- combn(nrow(d), 2); K <- matrix(0, ncol(pairs), nrow(d))
  K[cbind(seq_len(ncol(pairs)), pairs[1, ])] <- 1; K[cbind(seq_len(ncol(pairs)), pairs[2, ])] <- -1
  list(arms = d, K = K)
})

# Where all standard deviations are one, vcalc of metafor, which knows sizes alone, has the same V: four arms, all
# contrasts of them, and a study of three.
equal <- data.frame(study = rep(1:2, c(4, 3)), arm = c("a", "b", "c", "d", "a", "c", "d"),
                    mi = c(3, 5, 4, 7, 2, 4, 3), sdi = 2, ni = c(20, 35, 28, 50, 41, 33, 60))
by_sizes <- function(kind) {
  parts <- lapply(split(equal, equal$study), function(s) {
    m <- nrow(s); at <- if (kind == "all") combn(m, 2) else rbind(2:m, 1:(m - 1))
    cbind(s[at[1, ], ], setNames(s[at[2, ], -1], paste0(names(s)[-1], "2")))
  })
  d <- do.call(rbind, parts)
  d <- escalc("MD", m1i = mi, sd1i = sdi, n1i = ni, m2i = mi2, sd2i = sdi2, n2i = ni2, data = d)
  V <- vcalc(vi, cluster = study, grp1 = arm, grp2 = arm2, w1 = ni, w2 = ni2, data = d, checkpd = FALSE)
  list(first = d$arm, second = d$arm2, study = d$study, yi = c(d$yi), V = unname(V))
}

# Smoking cessation, three-arm trials, odds ratios (?dat.hasselblad1998).
h <- to.wide(dat.hasselblad1998[c("study", "trt", "xi", "ni")], study = "study", grp = "trt",
             ref = "no_contact", grpvars = c("xi", "ni"))
h <- escalc("OR", ai = xi.1, n1i = ni.1, ci = xi.2, n2i = ni.2, data = h)
# Where some contrast of a study has a cell of 0, escalc adds 1/2 to that contrast alone.
smoking <- build(h, function(a, b) {
  own <- function(x) { add <- 0.5 * any(c(x$xi.1, x$ni.1 - x$xi.1, x$xi.2, x$ni.2 - x$xi.2) == 0)
                       1 / (x$xi.2 + add) + 1 / (x$ni.2 - x$xi.2 + add) }
  sqrt(own(a) * own(b))
})

plain <- function(d) lapply(as.list(d), function(v) if (is.factor(v)) as.character(v) else c(unclass(v)))
write_json(list(
  metafor_version = as.character(packageVersion("metafor")),
  gleser = list(proportions = plain(p), binary = proportions, quantitative = plain(q), by_study = by_study,
                schools = plain(e), endpoints = endpoints),
  control = list(data = plain(g), cases = means),
  outcomes = list(data = plain(w), rho = r, cases = outcomes, exclusive = exclusive, nested = nested,
                  mixed = mixed),
  senn = list(yi = c(wide$yi), V = unname(S), study = wide$study, first = wide$treatment.1,
              fit = list(names = rownames(network$beta), est = c(network$beta), se = network$se,
                         tau2 = network$tau2), successive = successive, all = every),
  equal = list(arms = as.list(equal), successive = by_sizes("successive"), all = by_sizes("all")),
  hasselblad = list(arms = plain(dat.hasselblad1998[c("study", "trt", "xi", "ni")]), yi = c(h$yi),
                    V = unname(smoking))),
  file.path(here, "metafor", "shared_arms.json"))
