// Light or dark: as the system has it, until somebody chooses.

const THEME = "loomline.theme";

function show(name, button) {
  document.documentElement.dataset.theme = name;
  button.textContent = name === "dark" ? "Light theme" : "Dark theme";
}

export function useTheme(button) {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const ofSystem = () => (dark.matches ? "dark" : "light");
  show(localStorage.getItem(THEME) ?? ofSystem(), button);
  dark.addEventListener("change", () => {
    if (!localStorage.getItem(THEME)) show(ofSystem(), button);
  });
  button.addEventListener("click", () => {
    const next = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem(THEME, next);
    show(next, button);
  });
}
