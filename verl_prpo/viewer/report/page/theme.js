// Light or dark: before anything else is there to see.

const themeButton = document.getElementById("theme");

/** Remembers a choice where the browser lets a page from disk do so. */
function remembered(key, value) {
  try {
    if (value !== undefined) localStorage.setItem(key, value);
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  document.documentElement.style.colorScheme = theme;
  themeButton.textContent = theme === "dark" ? "☀" : "☾";
  themeButton.setAttribute("aria-label", theme === "dark" ? "Switch to light" : "Switch to dark");
}

function switchTheme() {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  setTheme(theme);
  remembered("verl-prpo-theme", theme);
}

const dark = matchMedia("(prefers-color-scheme: dark)");
setTheme(remembered("verl-prpo-theme") ?? (dark.matches ? "dark" : "light"));
dark.addEventListener("change", () => remembered("verl-prpo-theme") ?? setTheme(dark.matches ? "dark" : "light"));
themeButton.addEventListener("click", switchTheme);

