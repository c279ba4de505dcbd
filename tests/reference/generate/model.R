# Turns a model in the schema of tests/reference/README.md into a call of metafor::rma.mv
# with all components fixed, so that no optimiser is involved.

suppressMessages(library(metafor))

V_matrix <- function(V, data) {
  if (V$type == "diag") return(data[[V$column]])
  full <- matrix(0, nrow(data), nrow(data))
  for (block in V$blocks) full[block$rows + 1, block$rows + 1] <- block$matrix
  full
}

# Blocks of the rows that share a value of `cluster`, with correlation rho^|i - j|.
V_blocks <- function(data, cluster, rho) {
  rows <- split(seq_len(nrow(data)), factor(data[[cluster]], levels = unique(data[[cluster]])))
  list(type = "blocks", blocks = lapply(unname(rows), function(i) {
    s <- sqrt(data$vi[i])
    list(rows = I(i - 1L), matrix = outer(s, s) * rho^abs(outer(seq_along(i), seq_along(i), "-")))
  }))
}

intercept <- function(formula, R = NULL, scale = "cor") {
  variables <- strsplit(trimws(sub("1 \\|", "", formula)), "/")[[1]]
  term <- list(type = "intercept", formula = formula,
               groups = lapply(seq_along(variables), function(i) I(variables[1:i])))
  if (!is.null(R)) term$R <- list(levels = rownames(R), matrix = unname(R), scale = scale)
  term
}

structured <- function(struct, formula, distance = NULL) {
  sides <- trimws(strsplit(formula, "|", fixed = TRUE)[[1]])
  term <- list(type = "struct", formula = formula, struct = struct, inner = sides[1], outer = sides[2])
  if (startsWith(struct, "SP")) term$distance <- if (is.null(distance)) "euclidean" else distance
  term
}

distance_argument <- function(terms) {
  given <- Filter(Negate(is.null), lapply(terms, `[[`, "distance"))
  if (!length(given)) return(NULL)
  d <- given[[1]]
  if (is.character(d)) d else matrix(d$matrix, nrow(d$matrix), dimnames = list(d$levels, d$levels))
}

fixed_fit <- function(case) {
  m <- case$model
  args <- list(yi = case$data[[m$yi]], V = V_matrix(m$V, case$data), data = case$data,
               mods = as.formula(m$mods_r), method = m$method, test = m$test, dfs = m$dfs)
  if (length(m$random)) {
    args$random <- lapply(m$random, function(t) as.formula(paste("~", t$formula)))
    structs <- unlist(lapply(m$random, `[[`, "struct"))
    if (length(structs)) args$struct <- structs
    known <- Filter(function(t) !is.null(t$R), m$random)
    if (length(known)) {
      matrices <- lapply(known, function(t) {
        matrix(t$R$matrix, nrow(t$R$matrix), dimnames = list(t$R$levels, t$R$levels))
      })
      args$R <- setNames(matrices, vapply(known, function(t) tail(t$groups[[1]], 1), ""))
      args$Rscale <- known[[1]]$R$scale
    }
    args$dist <- distance_argument(m$random)
    args <- c(args, lapply(m$fixed, c))
  }
  if (m$test == "z") args$dfs <- NULL
  do.call(rma.mv, args)
}

# The parts every case has: what was fitted, and the likelihood at the fixed components.
base_case <- function(id, title, dataset, data, formula, mods_r, random, fixed, V = NULL,
                      method = "REML", test = "z", dfs = "residual") {
  if (is.null(V)) V <- list(type = "diag", column = "vi")
  list(id = id, title = title, source = list(dataset = dataset),
       metafor_version = as.character(packageVersion("metafor")),
       r_version = as.character(getRversion()), data = data,
       model = list(yi = "yi", V = V, formula = formula, mods_r = mods_r, random = random,
                    W = NULL, fixed = if (length(fixed)) lapply(fixed, I), method = method,
                    test = test, dfs = dfs, level = 95))
}

term_levels <- function(res, which) {
  levels <- if (which == "G") res$g.levels.f else res$h.levels.f
  if (is.null(levels)) NULL else I(as.character(levels[[1]]))
}

finish <- function(case, res) {
  case$design <- list(X = unname(res$X), r_names = I(colnames(res$X)),
                      rows_used = I(which(res$not.na) - 1L), dropped_columns = I(integer(0)))
  structs <- unlist(lapply(case$model$random, `[[`, "struct"))
  case$expected <- list(
    k = res$k, p = res$p,
    coefficients = list(names = I(rownames(res$beta)), est = I(c(res$beta)), se = I(res$se)),
    components = if (length(case$model$fixed)) case$model$fixed,
    G = if (length(structs) > 0) list(struct = structs[1], levels = term_levels(res, "G")),
    H = if (length(structs) > 1) list(struct = structs[2], levels = term_levels(res, "H")),
    fit_stats = list(ML = as.list(res$fit.stats$ML), REML = as.list(res$fit.stats$REML))
  )
  for (criterion in c("ML", "REML"))
    names(case$expected$fit_stats[[criterion]]) <- rownames(res$fit.stats)
  case
}

# A small data set with every kind of column the structures need.
simulated <- function() {
  set.seed(20181)
  size <- c(3, 3, 3, 2, 3, 3, 1, 3)
  study <- rep(seq_along(size), size)
  k <- length(study)
  data.frame(
    yi = round(rnorm(k, 0.3, 0.6), 3),
    vi = round(runif(k, 0.02, 0.2), 4),
    district = c("d1", "d2", "d3")[c(1, 1, 1, 2, 2, 3, 3, 3)][study],
    study = study,
    id = seq_len(k),
    lab = sample(c("a", "b", "c", "d"), k, replace = TRUE),
    species = paste0("sp", sample(1:6, k, replace = TRUE)),
    outcome = c("A", "B", "C")[sequence(size)],
    time = c(1, 2, 4)[sequence(size)],
    x = round(rnorm(k), 2),
    px = round(runif(k, 0, 4), 2),
    py = round(runif(k, 0, 4), 2)
  )
}

# Covariances of seven species on a tree with a root edge: positive definite, as is what is
# left when its smallest entry is subtracted.  The seventh species is not in the data.
species_covariance <- function() {
  clade <- c(1, 1, 1, 2, 2, 2, 2)
  genus <- c(1, 1, 2, 3, 3, 4, 4)
  C <- 0.2 + 0.5 * outer(clade, clade, "==") + 0.3 * outer(genus, genus, "==")
  diag(C) <- diag(C) + c(0.4, 0.4, 0.4, 0.5, 0.5, 0.4, 0.7)
  dimnames(C) <- list(paste0("sp", 1:7), paste0("sp", 1:7))
  C
}
