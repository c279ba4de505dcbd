# metafor::rma.mv, dense or with sparse = TRUE.
suppressMessages({library(metafor); library(Matrix)})
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE))), "common.R"))
V <- known_v()
one <- list(random = ~ 1 | study/id)
model <- switch(family,
  small = one, nested = one,
  un = list(random = ~ outcome | study, struct = "UN"),
  crossed = list(random = list(~ 1 | study, ~ 1 | species, ~ 1 | id)),
  phylogeny = list(random = list(~ 1 | phylo, ~ 1 | species, ~ 1 | study, ~ 1 | id),
                   R = list(phylo = as.matrix(read.csv(file.path(folder, "corr.csv"), row.names = 1)))),
  spatial = list(random = ~ east + north | all, struct = "SPEXP"))
report(function() do.call(rma.mv, c(list(yi = quote(d$y), V = quote(V), mods = mods, data = quote(d),
                                         sparse = option == "sparse"), model)),
       function(m) list(loglik = as.numeric(logLik(m)),
                        components = c(m$sigma2[m$withS], m$tau2[m$withG], m$rho[m$withG])))
