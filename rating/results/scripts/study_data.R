# Reads the tables of a study for the other scripts, which load this file; alone it does nothing.
# Base R suffices.

# The unpacked capsule: the first argument that is no option, else the folder above the scripts.
study_folder <- function(arguments = commandArgs(trailingOnly = TRUE)) {
  values <- options_of(arguments)$rest
  if (length(values) > 0) return(values[1])
  dirname(script_folder())
}

script_folder <- function() {
  file <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
  if (length(file) == 0) return(getwd())
  # Rscript puts "~+~" where a path has spaces.
  dirname(normalizePath(gsub("~+~", " ", file[1], fixed = TRUE)))
}

# Options such as --csv or --question=realism; the rest are values.
options_of <- function(arguments = commandArgs(trailingOnly = TRUE)) {
  is_option <- grepl("^--", arguments)
  told <- sub("^--", "", arguments[is_option])
  values <- ifelse(grepl("=", told), sub("^[^=]*=", "", told), "")
  list(named = setNames(as.list(values), sub("=.*$", "", told)), rest = arguments[!is_option])
}

read_text <- function(path) {
  if (!file.exists(path)) {
    stop("There is no file ", path, ". Give the folder of the unpacked capsule.", call. = FALSE)
  }
  read.csv(path, colClasses = "character", na.strings = character(0), check.names = FALSE,
           encoding = "UTF-8", comment.char = "", strip.white = FALSE)
}

# What the analysis plan fixed: results/settings.csv has a name and a value a row.
read_settings <- function(folder) {
  table <- read_text(file.path(folder, "results", "settings.csv"))
  value <- function(name) {
    found <- table$value[table$name == name]
    if (length(found) == 0) stop("results/settings.csv has no row ", name)
    found[1]
  }
  number <- function(name) if (value(name) == "NA") NA_real_ else as.numeric(value(name))
  several <- function(name) {
    if (value(name) == "") character(0) else strsplit(value(name), ";", fixed = TRUE)[[1]]
  }
  group <- function(name, fields) {
    count <- 0
    while (any(table$name == paste(name, count + 1, fields[1], sep = "."))) count <- count + 1
    columns <- lapply(fields, function(field) {
      vapply(seq_len(count), function(i) value(paste(name, i, field, sep = ".")), "")
    })
    as.data.frame(setNames(columns, fields), stringsAsFactors = FALSE)
  }
  arms <- group("arms", c("code", "label", "is_real"))
  # An excluded rater is named by what follows the first dot.
  excluded <- grep("^excluded_raters[.]", table$name, value = TRUE)
  list(
    study = value("study_code"), title = value("title"), is_pilot = value("is_pilot") == "1",
    display = value("display"), arms = arms,
    scales = group("scales", c("code", "text", "kind", "minimum", "maximum")),
    primary = value("primary_question"), reference = value("reference_arm"),
    contrast_arms = several("contrast_arms"), margin = number("equivalence_margin"),
    family = several("holm_family"), cannot_judge = value("cannot_judge"),
    excluded = sub("^excluded_raters[.]", "", excluded),
    origin = value("origin_question"), alpha = number("alpha")
  )
}

# The label of an arm, with its code where another arm has the same label.
arm_label <- function(settings, code) {
  label <- trimws(settings$arms$label)
  label[label == ""] <- settings$arms$code[label == ""]
  at <- match(code, settings$arms$code)
  if (is.na(at)) return(code)
  if (sum(label == label[at]) > 1) paste0(label[at], " (", code, ")") else label[at]
}

# Main showings that were submitted, without excluded raters; a missing value is "cannot judge".
read_answers <- function(folder, settings) {
  table <- read_text(file.path(folder, "data", "ratings_long.csv"))
  moment <- intersect(c("submitted_at", "submitted_s"), names(table))[1]
  kept <- table$item_kind == "main" & table[[moment]] != "NA" &
    !(table$rater_code %in% settings$excluded)
  table <- table[kept, ]
  data.frame(
    question = table$question, rater = table$rater_code, prompt = table$prompt_id,
    arm = table$arm, stimulus = table$stimulus_id, cannot_judge = table$cannot_judge == "1",
    value = suppressWarnings(as.numeric(table$value)), stringsAsFactors = FALSE
  )
}

# The answers to a question; "cannot judge" as planned: left out, or the worst value.
answers_to <- function(answers, settings, question) {
  scale <- settings$scales[settings$scales$code == question, ]
  found <- answers[answers$question == question, ]
  if (settings$cannot_judge == "worst") {
    worst <- if (question == settings$origin) scale$maximum else scale$minimum
    found$value[found$cannot_judge] <- as.numeric(worst)
  }
  found[!is.na(found$value), ]
}
