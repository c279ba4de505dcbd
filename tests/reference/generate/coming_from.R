# What R prints for the calls of docs/coming-from/, and the numbers behind it.
#
# usage (from the root of the repository):  Rscript tests/reference/generate/coming_from.R
# needs metafor (3.8-1), metadat (1.2-0), ape (5.7-1), clubSandwich (0.5.8), nlme (3.1-162),
# lme4 (1.1-31); R 4.2.2.
#
# Writes docs/coming-from/output/<name>.txt, which the pages show, and
# tests/reference/metafor/coming_from.json, which the tests compare with.

suppressMessages({
  library(metafor)
  library(nlme)
  library(lme4)
})
here <- file.path("tests", "reference")
source(file.path(here, "generate", "json.R"))
options(width = 78)

data_of <- function(name) read.csv(file.path("mvmeta", "datasets", paste0(name, ".csv")))
schools <- data_of("konstantopoulos2011")
bcg <- data_of("bcg")
teeth <- data_of("berkey1998")
stimulation <- data_of("ishak2007")
animals <- data_of("lim2014")
offenders <- data_of("assink2016")
tree <- ape::vcv(ape::compute.brlen(metadat::dat.lim2014$o_o_adj_tree), corr = TRUE)

show <- function(name, ...) {
  lines <- capture.output(...)
  lines <- sub("[ \t]+$", "", lines)
  while (length(lines) && lines[[1]] == "") lines <- lines[-1]
  while (length(lines) && lines[[length(lines)]] == "") lines <- lines[-length(lines)]
  writeLines(lines, file.path("docs", "coming-from", "output", paste0(name, ".txt")))
}

numbers <- function(res) list(
  params = I(c(res$b)), bse = I(res$se), llf = c(logLik(res)), QE = res$QE,
  components = I(c(if (res$withS) res$sigma2, if (res$withG) c(res$tau2, res$rho)))
)

## metafor

three <- rma.mv(yi, vi, random = ~ 1 | district/school, data = schools)
show("three-level", print(three))
show("three-level-confint", print(confint(three)))
show("three-level-predict", print(predict(three), digits = 4))
two <- rma.mv(yi, vi, random = ~ 1 | district, data = schools)
show("three-level-anova", print(anova(three, two)))
show("three-level-ranef", print(head(ranef(three)$district, 4), digits = 4))

regression <- rma.mv(yi, vi, mods = ~ ablat + year, random = ~ 1 | trial, data = bcg, test = "t")
show("regression", print(regression))

V <- bldiag(lapply(split(teeth[, c("v1i", "v2i")], teeth$trial), as.matrix))
outcomes <- rma.mv(yi, V, mods = ~ outcome - 1, random = ~ outcome | trial, struct = "UN",
                   data = teeth)
show("outcomes", print(outcomes))

V <- vcalc(vi, cluster = study, time1 = time, phi = 0.97, data = stimulation)
times <- rma.mv(yi, V, mods = ~ factor(time) - 1, random = ~ time | study, struct = "HAR",
                data = stimulation)
show("times", print(times))

animals$species.phy <- animals$species
phylogeny <- rma.mv(yi, vi, random = list(~ 1 | article/effect, ~ 1 | species, ~ 1 | species.phy),
                    R = list(species.phy = tree), data = animals)
show("phylogeny", print(phylogeny))

V <- vcalc(vi, cluster = study, obs = esid, rho = 0.6, data = offenders)
che <- rma.mv(yi, V, random = ~ 1 | study/esid, data = offenders)
show("robust", print(robust(che, cluster = study, clubSandwich = TRUE)))
clubbed <- robust(che, cluster = study, clubSandwich = TRUE)

## nlme and lme4: the same model and one that only looks the same

by <- function(method) lme(yi ~ 1, random = ~ 1 | district/school, weights = varFixed(~ vi),
                           data = schools, method = method, control = lmeControl(sigma = 1))
exact <- by("ML")
show("nlme", print(exact))
show("nlme-reml", print(by("REML")))
three_ml <- rma.mv(yi, vi, random = ~ 1 | district/school, data = schools, method = "ML")
scaled <- lmer(yi ~ 1 + (1 | district), weights = 1 / vi, data = schools)
show("lme4", print(summary(scaled), correlation = FALSE))
plain <- lmer(yi ~ year + (1 | district), data = schools)
show("lme4-plain", print(summary(plain), correlation = FALSE))

write_json(list(
  metafor_version = as.character(packageVersion("metafor")),
  clubSandwich_version = as.character(packageVersion("clubSandwich")),
  nlme_version = as.character(packageVersion("nlme")),
  lme4_version = as.character(packageVersion("lme4")),
  r_version = as.character(getRversion()),
  three = numbers(three), regression = numbers(regression), outcomes = numbers(outcomes),
  times = numbers(times), phylogeny = numbers(phylogeny),
  robust = list(params = I(c(clubbed$b)), bse = I(clubbed$se), df = I(clubbed$ddf)),
  nlme = list(params = I(fixef(exact)), bse = I(sqrt(diag(vcov(exact)))),
              llf = c(logLik(exact))),
  three_ml = numbers(three_ml),
  lme4 = list(params = I(fixef(plain)), bse = I(sqrt(diag(as.matrix(vcov(plain))))),
              components = I(c(VarCorr(plain)$district[1], sigma(plain)^2)))
), file.path(here, "metafor", "coming_from.json"))
