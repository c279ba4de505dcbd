# glmmTMB with the sampling variances as a known dispersion.  Its REML lacks +1/2 log|X'X|.
suppressMessages(library(glmmTMB))
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE))), "common.R"))
terms <- switch(family, nested = c("(1 | study)", "(1 | id)"), crossed = c("(1 | study)", "(1 | species)", "(1 | id)"))
f <- reformulate(c(x, terms), response = "y")
report(function() glmmTMB(f, data = d, dispformula = ~ 1 + offset(log(v)), REML = TRUE,
                          map = list(betad = factor(NA)), start = list(betad = 0)),
       function(m) list(components = unname(unlist(VarCorr(m)$cond))))
