# lme4: variances known up to a factor, which it estimates: one parameter more than the model.
suppressMessages(library(lme4))
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE))), "common.R"))
terms <- switch(family, nested = c("(1 | study)", "(1 | id)"), crossed = c("(1 | study)", "(1 | species)", "(1 | id)"))
f <- reformulate(c(x, terms), response = "y")
d$w <- 1 / d$v
control <- lmerControl(check.nobs.vs.nlev = "ignore", check.nobs.vs.nRE = "ignore",
                       check.nobs.vs.rankZ = "ignore", calc.derivs = FALSE)
report(function() lmer(f, data = d, weights = w, control = control),
       function(m) list(components = unname(unlist(lapply(VarCorr(m)[gsub("\\(1 \\| |\\)", "", terms)], as.numeric)))))
