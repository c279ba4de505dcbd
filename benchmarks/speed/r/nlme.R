# nlme::lme with sigma fixed at 1 and variances v.  Its REML criterion then is another one: the
# components differ in the third digit.
suppressMessages(library(nlme))
source(file.path(dirname(sub("--file=", "", grep("--file=", commandArgs(FALSE), value = TRUE))), "common.R"))
report(function() lme(full, random = ~ 1 | study/id, weights = varFixed(~ v), data = d,
                      control = lmeControl(sigma = 1, returnObject = TRUE)),
       function(m) list(components = as.numeric(VarCorr(m)[c(2, 4), 1])))
