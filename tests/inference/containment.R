# Degrees of freedom by containment, for test_containment.py.  Only the layout matters: 6 outer
# levels x 3 inner levels x 4 repeats; columns that vary within cells (x), are constant in cells of
# inner and outer (cell), or constant in levels of inner (ix).     Rscript containment.R
suppressMessages(library(metafor))
set.seed(1)
d <- expand.grid(rep = 1:4, inner = letters[1:3], outer = 1:6)
d$yi <- rnorm(72); d$vi <- .05; d$x <- rnorm(72); d$cell <- ave(d$x, d$outer, d$inner)
d$ix <- as.numeric(d$inner)^2; d$const <- 1; d$id <- 1:72; d$species <- d$outer; d$h <- d$ix
R <- diag(6); R[1, 2] <- R[2, 1] <- .5; dimnames(R) <- list(1:6, 1:6)
df <- function(...) suppressWarnings(rma.mv(yi, vi, mods = ~ x + cell + ix, data = d, dfs = "contain", ...))$ddf
print(rbind(
  df(random = ~ inner | outer, struct = "ID"),
  df(random = ~ inner | const, struct = "ID"),
  df(random = list(~ inner | outer, ~ inner | id), struct = c("ID", "ID")),
  df(random = list(~ 1 | outer, ~ 1 | h)),
  df(random = ~ 1 | outer/inner),
  df(random = ~ outer | inner, struct = "ID"),
  df(random = ~ 1 | species, R = list(species = R))))
fit <- suppressWarnings(rma.mv(yi, vi, mods = ~ x + cell + ix, data = d, dfs = "contain", random = list(~ inner | outer, ~ 1 | id), struct = "ID"))
for (u in ranef(fit)) print(c(half = unique(round((u$pi.ub - u$intrcpt) / u$se, 6))))
print(round(qt(.975, c(2, 68)), 6))
