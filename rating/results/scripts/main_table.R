# Computes the main table of this study again, in base R and apart from the Python statistics.
#
#   Rscript scripts/main_table.R                the table
#   Rscript scripts/main_table.R --csv          every figure with 15 digits
#   Rscript scripts/main_table.R FOLDER         of another unpacked capsule
#
# It reads data/ratings_long.csv and results/settings.csv and writes nothing. Means of arms are
# compared by a crossed analysis of variance of raters and prompts with degrees of freedom after
# Satterthwaite and Hillis; the mean squares are differences of residual sums of squares of linear
# models here (Henderson's method 3), where the Python statistics solve for them.

file <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- if (length(file)) dirname(gsub("~+~", " ", file[1], fixed = TRUE)) else "scripts"
source(file.path(here, "study_data.R"))

LEAST_RATERS <- 5
LEAST_SHARED <- 0.5
ROUNDING <- 1e-12
SMALLEST <- 1e-18
MOST_DF <- 1e6

residual_squares <- function(value, design) {
  fit <- lm.fit(design, value)
  c(squares = sum(fit$residuals^2), rank = fit$rank)
}

# Mean squares of prompts (raters fitted) and of the residual, from a table of cells.
mean_squares <- function(cells) {
  value <- cells$value - mean(cells$value)
  rater <- indicators(cells$rater)
  prompt <- indicators(cells$prompt)
  of_rater <- residual_squares(value, rater)
  of_both <- residual_squares(value, cbind(rater, prompt))
  nothing <- max(ROUNDING * sum(value^2), SMALLEST * length(value))
  cut <- function(squares) if (squares > nothing) squares else 0
  prompt_df <- of_both[["rank"]] - of_rater[["rank"]]
  residual_df <- length(value) - of_both[["rank"]]
  prompt_squares <- cut(of_rater[["squares"]] - of_both[["squares"]])
  residual <- if (residual_df > 0) cut(of_both[["squares"]]) / residual_df else 0
  size <- if (prompt_df > 0) (length(value) - ncol(rater)) / prompt_df else 1
  prompt_square <- if (prompt_df > 0) prompt_squares / prompt_df else 0
  list(residual = residual, prompt_df = prompt_df, component = (prompt_square - residual) / size,
       is_complete = length(value) == ncol(rater) * ncol(prompt))
}

indicators <- function(codes) {
  levels <- unique(codes)
  matrix(as.numeric(outer(codes, levels, "==")), nrow = length(codes))
}

# One or two tables of cells (rater, prompt, value) of the same raters; the second is subtracted.
estimate <- function(sides) {
  raters <- sort(unique(sides[[1]]$rater))
  is_fixed <- length(raters) < LEAST_RATERS
  counts <- lapply(sides, function(cells) as.numeric(table(factor(cells$rater, raters))))
  weights <- 1 / Reduce(`+`, lapply(counts, function(count) 1 / count))
  weights <- weights / sum(weights)
  differences <- numeric(length(raters))
  noise <- expected <- 0
  terms <- dfs <- numeric(0)
  for (i in seq_along(sides)) {
    cells <- sides[[i]]
    squares <- mean_squares(cells)
    at <- match(cells$rater, raters)
    share <- (weights / counts[[i]])[at]
    of_cells <- sum(share^2)
    of_prompts <- sum(tapply(share, cells$prompt, sum)^2)
    of_raters <- sum(weights / counts[[i]])
    means <- as.numeric(tapply(cells$value, factor(cells$rater, raters), mean))
    differences <- differences + (if (i == 1) 1 else -1) * means
    component <- squares$component
    kept <- if (is_fixed && squares$is_complete) component else max(component, 0)
    own <- squares$residual * of_cells
    noise <- noise + own
    terms <- c(terms, kept * of_prompts + if (is_fixed) own else 0)
    dfs <- c(dfs, squares$prompt_df)
    expected <- expected + component * (of_raters - of_prompts) +
      squares$residual * (of_raters - of_cells)
  }
  value <- sum(weights * differences)
  if (!is_fixed) {
    spread <- sum(weights * (differences - value)^2)
    if (spread <= SMALLEST) spread <- 0
    between <- (spread - expected) / (1 - sum(weights^2))
    terms <- c(terms, noise + sum(weights^2) * max(between, 0))
    dfs <- c(dfs, length(raters) - 1)
  }
  variance <- sum(terms)
  df <- 0
  if (all(dfs > 0)) {
    below <- sum(terms^2 / dfs)
    df <- if (below > 0) variance^2 / below else MOST_DF
  }
  prompts <- sapply(sides, function(cells) length(unique(cells$prompt)))
  list(value = value, variance = variance, df = df, raters = length(raters), prompts = prompts,
       has_interval = all(prompts >= 2) && df > 0 && variance > 0)
}

cell_means <- function(answers) {
  aggregate(value ~ rater + prompt, answers, mean)
}

key <- function(table) paste(table$rater, table$prompt, sep = "\r")

is_paired <- function(shown, arm, reference) {
  first <- unique(key(shown[shown$arm == arm, ]))
  second <- unique(key(shown[shown$arm == reference, ]))
  shared <- length(intersect(first, second))
  shared >= LEAST_SHARED * max(length(first), 1) && shared >= LEAST_SHARED * max(length(second), 1)
}

# What is compared: differences within rater and prompt, or cells of both arms within rater.
sides_of <- function(shown, answers, arm, reference) {
  first <- answers[answers$arm == arm, ]
  second <- answers[answers$arm == reference, ]
  if (nrow(first) == 0 || nrow(second) == 0) return(NULL)
  if (is_paired(shown, arm, reference)) {
    both <- merge(cell_means(first), cell_means(second), by = c("rater", "prompt"))
    if (nrow(both) == 0) return(NULL)
    both$value <- both$value.x - both$value.y
    return(list(both[c("rater", "prompt", "value")]))
  }
  raters <- intersect(first$rater, second$rater)
  if (length(raters) == 0) return(NULL)
  lapply(list(first, second), function(part) cell_means(part[part$rater %in% raters, ]))
}

contrast <- function(shown, answers, settings, question, arm) {
  row <- data.frame(
    question = question, arm = arm, reference = settings$reference, difference = NA_real_,
    low = NA_real_, high = NA_real_, standard_error = NA_real_, df = NA_real_, p = NA_real_,
    p_holm = NA_real_, low_equivalence = NA_real_, high_equivalence = NA_real_,
    p_equivalence = NA_real_, raters = NA_real_, stringsAsFactors = FALSE
  )
  sides <- sides_of(shown, answers, arm, settings$reference)
  if (is.null(sides)) return(row)
  found <- estimate(sides)
  row$difference <- found$value
  row$raters <- found$raters
  if (!found$has_interval) return(row)
  error <- sqrt(found$variance)
  reach <- function(level) found$value + c(-1, 1) * qt((1 + level) / 2, found$df) * error
  row$low <- reach(1 - settings$alpha)[1]
  row$high <- reach(1 - settings$alpha)[2]
  row$standard_error <- error
  row$df <- found$df
  row$p <- 2 * pt(-abs(found$value) / error, found$df)
  if (question == settings$primary && !is.na(settings$margin)) {
    row$low_equivalence <- reach(1 - 2 * settings$alpha)[1]
    row$high_equivalence <- reach(1 - 2 * settings$alpha)[2]
    row$p_equivalence <- max(
      pt((found$value + settings$margin) / error, found$df, lower.tail = FALSE),
      pt((found$value - settings$margin) / error, found$df)
    )
  }
  row
}

contrasts_of <- function(answers, settings) {
  questions <- settings$scales$code[settings$scales$kind == "scale"]
  questions <- c(intersect(settings$primary, questions), setdiff(questions, settings$primary))
  rows <- list()
  for (question in questions) {
    shown <- answers[answers$question == question, ]
    scored <- answers_to(answers, settings, question)
    for (arm in settings$contrast_arms) {
      rows[[length(rows) + 1]] <- contrast(shown, scored, settings, question, arm)
    }
  }
  table <- do.call(rbind, rows)
  # A planned contrast that could not be tested keeps its place in the family.
  family <- table$question %in% settings$family
  adjusted <- p.adjust(ifelse(is.na(table$p[family]), 1, table$p[family]), "holm")
  table$p_holm[family] <- ifelse(is.na(table$p[family]), NA, adjusted)
  table
}

number <- function(value, decimals = 2) {
  told <- formatC(value, format = "f", digits = decimals)
  told <- sub("^-(0[.]?0*)$", "\\1", told)
  ifelse(is.na(value), "-", told)
}
p_value <- function(p) ifelse(is.na(p), "-", ifelse(p < 0.001, "<0.001", number(p, 3)))
reach <- function(low, high) ifelse(is.na(low), "-", paste(number(low), "to", number(high)))

shown_table <- function(table, settings) {
  name <- function(codes) vapply(codes, function(code) arm_label(settings, code), "")
  level <- function(value) paste(format(100 * value), "% interval")
  shown <- data.frame(
    Question = table$question, Contrast = paste(name(table$arm), "-", name(table$reference)),
    Difference = number(table$difference), Interval = reach(table$low, table$high),
    SE = number(table$standard_error), df = number(table$df, 1), p = p_value(table$p),
    Holm = p_value(table$p_holm), stringsAsFactors = FALSE
  )
  names(shown)[c(4, 8)] <- c(level(1 - settings$alpha), "p (Holm)")
  if (!is.na(settings$margin)) {
    within <- ifelse(table$p_equivalence < settings$alpha, "yes", "not shown")
    shown[[level(1 - 2 * settings$alpha)]] <- reach(table$low_equivalence, table$high_equivalence)
    shown[["p (equivalence)"]] <- p_value(table$p_equivalence)
    shown[[paste("Within", format(settings$margin))]] <- ifelse(is.na(within), "-", within)
  }
  shown
}

main <- function() {
  folder <- study_folder()
  settings <- read_settings(folder)
  if (settings$display != "single") {
    cat("Side by side no image has a score of its own: the main table is of preferences, which",
        "scripts/recompute.py computes.\n")
    return(invisible())
  }
  answers <- read_answers(folder, settings)
  table <- contrasts_of(answers, settings)
  if (is.null(table)) {
    cat("No question gives each image a score, or there is no second arm.\n")
    return(invisible())
  }
  if ("csv" %in% names(options_of()$named)) {
    write.csv(format(table, digits = 15, trim = TRUE), stdout(), row.names = FALSE, quote = FALSE)
    return(invisible())
  }
  options(width = 10000)
  cat("Differences of mean scores between arms\n\n")
  print(shown_table(table, settings), row.names = FALSE, right = FALSE)
  if (any(table$raters < LEAST_RATERS, na.rm = TRUE)) {
    cat("\nFewer than five raters: the interval holds for these raters and does not generalise to",
        "other raters.\n")
  }
  if (settings$is_pilot) {
    cat("\nThis is a pilot: its figures serve to plan a study and are no result of one.\n")
  }
}

main()
