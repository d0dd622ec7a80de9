"""Neural posterior estimation: summary statistics, mixture density networks, truncated priors (Ezhov et al. 2019)."""
