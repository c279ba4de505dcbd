# V by vcalc for every part and their combinations, on scattered rows and on data sets.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/vcalc.R

suppressMessages({ library(metafor); library(metadat) })
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))
options(warn = -1)

set.seed(20262)
n <- 24
d <- data.frame(study = sample(rep(c("b", "a", "d", "c", "e"), c(8, 7, 5, 3, 1))))
d$half <- sample(c("m", "f"), n, replace = TRUE)
d$vi <- round(runif(n, 0.05, 0.6), 4)
d$vi_gap <- replace(d$vi, c(3, 11), NA)
d$obs <- ave(seq_len(n), d$study, FUN = function(i) sample(1:3, length(i), replace = TRUE))
d$type <- sample(c("anxiety", "mood"), n, replace = TRUE)
d$time1 <- sample(c(0, 1, 2, 3.5), n, replace = TRUE)
d$time2 <- sample(c(0.5, 1, 4), n, replace = TRUE)
d$whole <- sample(0:3, n, replace = TRUE)
d$grp1 <- sample(c("A", "B", "C"), n, replace = TRUE)
d$grp2 <- sample(c("C", "D"), n, replace = TRUE)
d$grp2[d$grp1 == "C"] <- "D"
d$same2 <- ifelse(runif(n) < 0.4, d$grp1, d$grp2)
d$later2 <- d$time2 + 0.25
d$w1 <- round(runif(n, 10, 80)); d$w2 <- round(runif(n, 10, 80))

R <- matrix(c(1, 0.7, 0.4, 0.7, 1, 0.25, 0.4, 0.25, 1), 3, dimnames = list(1:3, 1:3))
B <- matrix(c(1, 0.35, 0.35, 1), 2, dimnames = list(c("anxiety", "mood"), c("anxiety", "mood")))

# Correlation matrices by study, in the order of the rows, below the diagonal.
add_tables <- function(d, unit, stem) {
  for (j in seq_len(max(table(unit)))) d[[paste0(stem, j)]] <- NA_real_
  for (u in unique(unit)) {
    i <- which(unit == u)
    C <- round(cov2cor(crossprod(matrix(rnorm(20 * length(i)), 20))), 4)
    C[upper.tri(C)] <- NA
    d[i, paste0(stem, seq_along(i))] <- C
  }
  d
}
d <- add_tables(d, d$study, "r")
d <- add_tables(d, paste(d$study, d$half), "s")

v <- function(...) {
  asked <- as.list(substitute(list(...)))[-1]
  unname(eval(as.call(c(quote(vcalc), asked, alist(cluster = study, data = d, checkpd = FALSE)))))
}
scattered <- list(
  obs = v(vi, obs = obs, rho = 0.6),
  obs_matrix = v(vi, obs = obs, rho = R),
  type = v(vi, type = type, rho = 0.45),
  type_matrix = v(vi, type = type, rho = B),
  obs_type = v(vi, obs = obs, type = type, rho = c(0.7, 0.5)),
  obs_type_matrices = v(vi, obs = obs, type = type, rho = list(R, B)),
  obs_type_mixed = v(vi, obs = obs, type = type, rho = list(0.7, B)),
  subgroup = v(vi, obs = obs, subgroup = half, rho = 0.6),
  missing = v(vi_gap, obs = obs, rho = 0.6),
  time = v(vi, time1 = time1, phi = 0.8),
  time_obs = v(vi, time1 = time1, phi = 0.8, obs = obs, rho = R),
  time_obs_type = v(vi, time1 = time1, phi = 0.8, obs = obs, type = type, rho = c(0.7, 0.5)),
  groups = v(vi, grp1 = grp1, grp2 = grp2),
  groups_sizes = v(vi, grp1 = grp1, grp2 = grp2, w1 = w1, w2 = w2),
  groups_obs = v(vi, grp1 = grp1, grp2 = grp2, w1 = w1, w2 = w2, obs = obs, rho = R),
  groups_time = v(vi, grp1 = grp1, grp2 = grp2, time1 = time1, phi = 0.8),
  groups_times = v(vi, grp1 = grp1, grp2 = grp2, time1 = time1, time2 = time2, phi = 0.8),
  within = v(vi, grp1 = grp1, grp2 = same2, time1 = whole, time2 = later2, phi = 0.7),
  everything = v(vi, grp1 = grp1, grp2 = same2, time1 = whole, time2 = later2, phi = 0.7,
                 w1 = w1, w2 = w2, obs = obs, type = type, rho = list(R, B), subgroup = half),
  rvars = v(vi, rvars = c(r1:r8)),
  rvars_subgroup = v(vi, subgroup = half, rvars = c(s1:s4))
)

a <- dat.assink2016
ishak <- reshape(dat.ishak2007, direction = "long", idvar = "study", v.names = c("yi", "vi"),
                 varying = list(c(2, 4, 6, 8), c(3, 5, 7, 9)))
ishak <- ishak[order(ishak$study, ishak$time), ]
ishak <- ishak[!is.na(ishak$yi), ]
ishak_v <- unname(vcalc(vi, cluster = study, time1 = time, phi = 0.97, data = ishak))
berkey <- dat.berkey1998
assink_v <- unname(vcalc(vi, cluster = study, obs = esid, data = a, rho = 0.6))
che <- rma.mv(yi, assink_v, random = ~ 1 | study/esid, data = a,
              control = list(rel.tol = 1e-13, iter.max = 1000, eval.max = 2000))

# Patients of several groups against one control group each, at tasks of several difficulties.
k <- dat.knapp2017
k$what <- paste(k$task, k$difficulty)
tasks <- sort(unique(k$what), method = "radix")
K <- outer(seq_along(tasks), seq_along(tasks), function(i, j) round(0.8^abs(i - j), 4))
dimnames(K) <- list(tasks, tasks)
knapp_v <- vcalc(vi, cluster = study, grp1 = group1, grp2 = group2, w1 = n_sz, w2 = n_hc, obs = what,
                 rho = K, data = k)
knapp <- rma.mv(yi, knapp_v, random = ~ 1 | study/comp, data = k)

# Blocks by study of rows that are neighbours.
blocks <- function(V, study) lapply(unname(blsplit(V, factor(study, unique(study)))), unname)
write_json(list(
  program = paste0("metafor ", packageVersion("metafor"), ", R ", getRversion()),
  data = d, R = R, B = B,
  scattered = lapply(scattered, function(V) { V[abs(V) == 0] <- 0; V }),
  assink = list(vi = a$vi, study = a$study, V = blocks(assink_v, a$study),
                fit = list(estimate = c(che$beta), se = che$se, sigma2 = che$sigma2)),
  ishak = list(vi = ishak$vi, study = ishak$study, time = ishak$time,
               V = blocks(ishak_v, ishak$study)),
  knapp = list(what = k$what, tasks = tasks, rho = unname(K), V = blocks(knapp_v, k$study),
               fit = list(estimate = c(knapp$beta), se = knapp$se, sigma2 = knapp$sigma2)),
  berkey = unname(vcalc(vi = 1, cluster = author, rvars = c(v1i, v2i), data = berkey)),
  berkey_data = berkey[, c("author", "v1i", "v2i")]
), file.path(here, "metafor", "vcalc.json"))
