// Before the first paint, so that a chosen theme does not flash: the only script that is not a module.
try {
  const theme = localStorage.getItem('lasso.theme');
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
} catch {
  // No storage, no choice to remember.
}
