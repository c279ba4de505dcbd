# mixmeta, where it is installed: nested levels, or outcomes with blocks of sampling covariances.
suppressMessages(library(mixmeta))
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE))), "common.R"))
fit <- if (family == "nested") {
  function() mixmeta(full, S = d$v, random = ~ 1 | study/id, data = d, method = "reml")
} else {
  V <- known_v()
  S <- lapply(split(seq_len(nrow(d)), d$study), function(i) V[i, i])
  function() mixmeta(full, random = ~ 0 + outcome | study, data = d, method = "reml",
                     control = list(addSlist = S))
}
report(fit, function(m) list(loglik = as.numeric(logLik(m)), components = as.numeric(unlist(m$Psi))))
