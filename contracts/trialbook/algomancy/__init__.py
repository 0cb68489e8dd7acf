"""Authoring of algomancy plugins: parameters, algorithms, KPIs, profiles."""
