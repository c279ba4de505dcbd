# A JSON writer that keeps 17 significant digits where 15 are not enough (jsonlite stops at 15).
#
# Named lists and data frames become objects, unnamed lists and vectors arrays,
# matrices lists of rows, NA / NaN / infinite values and NULL null.  A vector of
# length one is a scalar unless it is wrapped in I().

json_text <- function(x) {
  x <- gsub("\\", "\\\\", enc2utf8(x), fixed = TRUE)
  x <- gsub("\n", "\\n", x, fixed = TRUE)
  paste0("\"", gsub("\"", "\\\"", x, fixed = TRUE), "\"")
}

shortest <- function(x) {
  short <- sprintf("%.15g", x)
  exact <- !is.finite(x) | suppressWarnings(as.numeric(short)) == x
  ifelse(exact, short, sprintf("%.17g", x))
}

json_atoms <- function(x) {
  if (is.factor(x)) x <- as.character(x)
  text <- if (is.character(x)) json_text(x)
          else if (is.logical(x)) ifelse(x, "true", "false")
          else if (is.integer(x)) format(x, trim = TRUE, scientific = FALSE)
          else shortest(x)
  text[is.na(x) | (is.numeric(x) & !is.finite(x))] <- "null"
  text
}

json_object <- function(x, indent) {
  inner <- paste0(indent, " ")
  items <- paste0(inner, json_text(names(x)), ": ", vapply(x, to_json, "", indent = inner))
  paste0("{\n", paste(items, collapse = ",\n"), "\n", indent, "}")
}

to_json <- function(x, indent = "") {
  if (is.null(x)) return("null")
  if (is.data.frame(x)) x <- lapply(as.list(x), function(column) I(c(unclass(column))))
  if (is.list(x)) {
    if (!is.null(names(x))) return(json_object(x, indent))
    return(paste0("[", paste(vapply(x, to_json, "", indent = indent), collapse = ", "), "]"))
  }
  if (is.matrix(x)) {
    rows <- apply(x, 1, function(row) paste0("[", paste(json_atoms(row), collapse = ", "), "]"))
    return(paste0("[", paste(rows, collapse = ",\n  "), "]"))
  }
  atoms <- json_atoms(unclass(x))
  if (length(atoms) == 1 && !inherits(x, "AsIs")) atoms else paste0("[", paste(atoms, collapse = ", "), "]")
}

write_json <- function(x, path) {
  connection <- file(path, "w", encoding = "UTF-8")
  on.exit(close(connection))
  writeLines(to_json(x), connection)
}
