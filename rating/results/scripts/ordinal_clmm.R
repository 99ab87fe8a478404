# Fits a cumulative link mixed model to each scale question: a check of the main table that takes
# answers as ordered points, not as numbers.
#
#   Rscript scripts/ordinal_clmm.R                       every scale question
#   Rscript scripts/ordinal_clmm.R --question=realism    one of them
#   Rscript scripts/ordinal_clmm.R FOLDER                of another unpacked capsule
#
# It needs the package ordinal: install.packages("ordinal"). It reads data/ratings_long.csv and
# results/settings.csv and writes nothing. Odds are cumulative: an odds ratio of 2 doubles the odds
# of an answer above any point of the scale, compared with the reference arm. Effects of rater,
# prompt, rater x arm and stimulus are random; where they cannot all be fitted, simpler ones are,
# and what was dropped is told.
#
# Christensen RHB. ordinal: Regression Models for Ordinal Data. R package.

file <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- if (length(file)) dirname(gsub("~+~", " ", file[1], fixed = TRUE)) else "scripts"
source(file.path(here, "study_data.R"))

LEAST_LEVELS <- 3
LEAST_ANSWERS <- 20
RANDOM <- c(rater = "rater", prompt = "prompt", `rater x arm` = "rater_arm", stimulus = "stimulus")

say <- function(...) cat(strwrap(paste0(...), width = 90, exdent = 2), sep = "\n")

factors_of <- function(answers, settings) {
  arms <- settings$arms$code[settings$arms$code %in% answers$arm]
  first <- if (settings$reference %in% arms) settings$reference else arms[1]
  answers <- answers[answers$arm %in% arms, ]
  answers$arm <- factor(answers$arm, c(first, setdiff(arms, first)))
  answers$answer <- factor(answers$value, ordered = TRUE)
  for (name in c("rater", "prompt", "stimulus")) answers[[name]] <- factor(answers[[name]])
  answers$rater_arm <- interaction(answers$rater, answers$arm, drop = TRUE)
  answers
}

# Random effects whose levels can be told apart, and why the others cannot.
usable_effects <- function(data) {
  usable <- character(0)
  dropped <- character(0)
  for (name in names(RANDOM)) {
    groups <- data[[RANDOM[[name]]]]
    levels <- nlevels(groups)
    same <- Filter(function(other) is_same(groups, data[[RANDOM[[other]]]]), usable)
    if (levels < LEAST_LEVELS) {
      why <- paste0(" (it has ", levels, " levels; ", LEAST_LEVELS, " needed)")
      dropped <- c(dropped, paste0(name, why))
    } else if (levels == nrow(data)) {
      dropped <- c(dropped, paste0(name, " (one answer for each level)"))
    } else if (length(same) > 0) {
      dropped <- c(dropped, paste0(name, " (the same groups as ", same[1], ")"))
    } else {
      usable <- c(usable, name)
    }
  }
  list(usable = usable, dropped = dropped)
}

is_same <- function(first, second) {
  pairs <- unique(data.frame(first, second))
  nrow(pairs) == nlevels(first) && nrow(pairs) == nlevels(second)
}

# A fit with a sound Hessian, or the reason why there is none.
fit_with <- function(data, effects) {
  random <- if (length(effects)) paste0(" + (1 | ", RANDOM[effects], ")", collapse = "") else ""
  formula <- as.formula(paste0("answer ~ ", if (nlevels(data$arm) > 1) "arm" else "1", random))
  warned <- character(0)
  fit <- tryCatch(
    withCallingHandlers(
      if (length(effects)) {
        eval(bquote(ordinal::clmm(.(formula), data = data, link = "logit")))
      } else {
        eval(bquote(ordinal::clm(.(formula), data = data, link = "logit")))
      },
      warning = function(problem) {
        warned <<- c(warned, conditionMessage(problem))
        invokeRestart("muffleWarning")
      }
    ),
    error = function(problem) conditionMessage(problem)
  )
  if (is.character(fit)) return(list(why = fit))
  if (length(coef(fit)) == 0 || !all(is.finite(coef(fit)))) {
    return(list(why = "some effects are not finite", fit = fit))
  }
  variances <- suppressWarnings(tryCatch(diag(vcov(fit)), error = function(problem) NA))
  if (!all(is.finite(variances)) || any(variances <= 0)) {
    return(list(why = "the Hessian is singular", fit = fit))
  }
  converged <- if (length(effects)) fit$optRes$convergence == 0 else fit$convergence$code == 0
  if (!converged) return(list(why = "it did not converge", fit = fit))
  list(fit = fit, warned = warned)
}

# Drops what varies least (else the last) until a fit is sound.
fitted <- function(data, effects) {
  dropped <- character(0)
  repeat {
    found <- fit_with(data, effects)
    if (is.null(found$why)) return(c(found, list(effects = effects, dropped = dropped)))
    if (length(effects) == 0) return(list(why = found$why, dropped = dropped))
    last <- effects[length(effects)]
    if (inherits(found$fit, "clmm")) {
      variances <- vapply(found$fit$ST[RANDOM[effects]], function(st) st[1, 1]^2, 0)
      if (all(is.finite(variances))) last <- effects[which.min(variances)]
    }
    dropped <- c(dropped, paste0(last, " (with it: ", found$why, ")"))
    effects <- setdiff(effects, last)
  }
}

tell_effects <- function(fit, data, settings) {
  all <- summary(fit)$coefficients
  own <- grep("^arm", rownames(all))
  if (length(own) == 0) return(say("There is one arm: no effect of arms."))
  log_odds <- all[own, 1]
  half <- qnorm(1 - settings$alpha / 2) * all[own, 2]
  name <- vapply(sub("^arm", "", rownames(all)[own]), function(code) arm_label(settings, code), "")
  level <- paste(format(100 * (1 - settings$alpha)), "% interval")
  two <- function(value) formatC(value, format = "f", digits = 2)
  reach <- function(low, high) paste(two(low), "to", two(high))
  p <- all[own, 4]
  table <- data.frame(
    Arm = name, log_odds = two(log_odds), i = reach(log_odds - half, log_odds + half),
    SE = two(all[own, 2]), odds_ratio = two(exp(log_odds)),
    j = reach(exp(log_odds - half), exp(log_odds + half)),
    p = ifelse(p < 0.001, "<0.001", formatC(p, format = "f", digits = 3))
  )
  names(table) <- c("Arm", "Log odds", level, "SE", "Odds ratio", level, "p")
  cat("Fixed effects, against ", arm_label(settings, levels(data$arm)[1]),
      " (Wald; not adjusted for several contrasts)\n", sep = "")
  print(table, row.names = FALSE, right = FALSE)
}

tell_random <- function(found) {
  if (length(found$effects) == 0) {
    return(say(
      "No random effects are left: answers count as independent, so that intervals are too narrow."
    ))
  }
  variances <- vapply(found$fit$ST[RANDOM[found$effects]], function(st) st[1, 1]^2, 0)
  cat("\nVariances of random effects, on the scale of log odds\n")
  table <- data.frame(
    Effect = found$effects, Variance = formatC(variances, format = "f", digits = 3),
    Levels = vapply(RANDOM[found$effects], function(name) nlevels(found$fit$model[[name]]), 0)
  )
  print(table, row.names = FALSE, right = FALSE)
  small <- found$effects[variances < 1e-4]
  if (length(small)) say("At the edge, as good as 0: ", paste(small, collapse = ", "), ".")
}

# Neighbouring points made one until every arm has an answer at each: effects are finite then.
merged_points <- function(data) {
  groups <- as.list(levels(data$answer))
  counts <- unclass(table(data$arm, data$answer))
  while (ncol(counts) > 2 && any(counts == 0)) {
    empty <- which(colSums(counts == 0) > 0)
    at <- empty[which.min(colSums(counts)[empty])]
    beside <- intersect(c(at - 1, at + 1), seq_len(ncol(counts)))
    beside <- beside[which.min(colSums(counts)[beside])]
    low <- min(at, beside)
    counts[, low] <- counts[, low] + counts[, low + 1]
    counts <- counts[, -(low + 1), drop = FALSE]
    groups[[low]] <- c(groups[[low]], groups[[low + 1]])
    groups <- groups[-(low + 1)]
  }
  groups
}

# Whether effects of arms differ from point to point; without random effects, as clmm has no such.
tell_proportional_odds <- function(data) {
  cat("\nProportional odds\n")
  groups <- merged_points(data)
  if (nlevels(data$arm) < 2 || length(groups) < 3) {
    return(say("Not tested: it needs two arms and three points that every arm was given."))
  }
  joined <- vapply(groups, paste, "", collapse = "+")
  group_of <- setNames(rep(seq_along(groups), lengths(groups)), unlist(groups))
  data$answer <- factor(joined[group_of[as.character(data$answer)]], joined, ordered = TRUE)
  if (any(lengths(groups) > 1)) {
    say("For this test points that not every arm was given are joined: ",
        paste(joined, collapse = ", "), ".")
  }
  fits <- tryCatch(suppressWarnings(list(
    same = ordinal::clm(answer ~ arm, data = data),
    free = ordinal::clm(answer ~ 1, nominal = ~arm, data = data)
  )), error = function(problem) NULL)
  if (is.null(fits) || fits$free$convergence$code != 0 || !all(is.finite(coef(fits$free)))) {
    return(say("Not tested: effects of arms at each point could not be estimated."))
  }
  ratio <- 2 * as.numeric(logLik(fits$free) - logLik(fits$same))
  df <- length(coef(fits$free)) - length(coef(fits$same))
  p <- pchisq(ratio, df, lower.tail = FALSE)
  say("Likelihood ratio test that arms have the same effect at every point (without random ",
      "effects, so that it takes answers as independent): chi-squared ",
      formatC(ratio, format = "f", digits = 2), " with ", df, " degrees of freedom, p ",
      if (p < 0.001) "<0.001" else formatC(p, format = "f", digits = 3),
      ". Where it is small, read the main table and the distributions beside these odds ratios.")
}

model_question <- function(question, answers, settings) {
  cat("\n", question$code, ": ", question$text, "\n",
      strrep("-", nchar(question$code) + 2 + nchar(question$text)), "\n", sep = "")
  found <- answers_to(answers, settings, question$code)
  if (nrow(found) < LEAST_ANSWERS || length(unique(found$value)) < 2) {
    return(say("No model: ", nrow(found), " answers with ", length(unique(found$value)),
               " different values; at least ", LEAST_ANSWERS, " and 2 are needed."))
  }
  data <- factors_of(found, settings)
  say(nrow(data), " answers of ", nlevels(data$rater), " raters to ", nlevels(data$prompt),
      " prompts and ", nlevels(data$stimulus), " stimuli; points answered: ",
      paste(levels(data$answer), collapse = ", "), ".")
  told <- usable_effects(data)
  result <- fitted(data, told$usable)
  dropped <- c(told$dropped, result$dropped)
  if (!is.null(result$why)) return(say("No model could be fitted: ", result$why, "."))
  if (length(dropped)) {
    say("Dropped from the random effects: ", paste(dropped, collapse = "; "), ".")
  }
  say("Model: ", paste(deparse(formula(result$fit)), collapse = " "),
      "; cumulative logit link, Laplace approximation.")
  if (length(result$warned)) say("The fit warned: ", paste(unique(result$warned), collapse = "; "))
  cat("\n")
  tell_effects(result$fit, data, settings)
  tell_random(result)
  tell_proportional_odds(data)
  two <- function(value) formatC(as.numeric(value), format = "f", digits = 2)
  say("Log-likelihood ", two(logLik(result$fit)), ", AIC ", two(AIC(result$fit)),
      ", largest gradient ",
      formatC(max(abs(result$fit$gradient)), format = "e", digits = 1), ".")
}

main <- function() {
  if (!requireNamespace("ordinal", quietly = TRUE)) {
    message("This script needs the R package ordinal. In R: install.packages(\"ordinal\")")
    quit(status = 2)
  }
  options(width = 10000)
  folder <- study_folder()
  settings <- read_settings(folder)
  if (settings$display != "single") {
    cat("Side by side no image has an answer of its own: there is no model of arms.\n")
    return(invisible())
  }
  asked <- options_of()$named$question
  scales <- settings$scales[settings$scales$kind == "scale", ]
  if (!is.null(asked)) {
    if (!(asked %in% scales$code)) {
      stop("No scale question has the code ", asked, "; there are ",
           paste(scales$code, collapse = ", "), ".")
    }
    scales <- scales[scales$code == asked, ]
  }
  cat("Cumulative link mixed models: ", settings$title, " (", settings$study, ")\n", sep = "")
  if (settings$is_pilot) {
    say("This is a pilot: its figures serve to plan a study and are no result of one.")
  }
  say("A check of the main table, secondary to it. 'Cannot judge' is ",
      if (settings$cannot_judge == "worst") "the worst value, as planned." else "left out.")
  answers <- read_answers(folder, settings)
  for (at in seq_len(nrow(scales))) model_question(scales[at, ], answers, settings)
}

main()
