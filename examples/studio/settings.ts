/** Settings in the URL: each control whose value is not its default is a parameter with the name of the control. */

type Control = HTMLInputElement | HTMLSelectElement;

const controls = (form: HTMLFormElement): Control[] =>
  [...form.elements].filter(
    (e): e is Control => (e instanceof HTMLInputElement || e instanceof HTMLSelectElement) && e.name !== '',
  );

/** The value of a control as a URL parameter; undefined for a radio button that is not checked, and a list that is not filled yet. */
const value = (control: Control) =>
  (control.type === 'radio' && !(control as HTMLInputElement).checked) ||
  (control instanceof HTMLSelectElement && control.options.length === 0)
    ? undefined
    : control.value;

/** Whether a control has its default value. */
export function isDefault(control: Control): boolean {
  if (control instanceof HTMLSelectElement) {
    const chosen = [...control.options].find((o) => o.defaultSelected) ?? control.options[0];
    return control.value === chosen?.value;
  }
  return control.type === 'radio' ? control.defaultChecked : control.value === control.defaultValue;
}

/** Copies the URL's parameters into the form. A value that a control does not allow is ignored. */
export function readUrl(form: HTMLFormElement): void {
  const parameters = new URLSearchParams(location.search);
  for (const control of controls(form)) {
    const given = parameters.get(control.name);
    if (given === null) continue;
    const before = control.value;
    if (control.type === 'radio') (control as HTMLInputElement).checked ||= control.value === given;
    else control.value = given;
    if (control.value === '' || !control.checkValidity()) control.value = before;
  }
}

/** Copies the form into the URL, so that the URL reopens the page with these settings. Invalid values are not copied. */
export function writeUrl(form: HTMLFormElement): void {
  const parameters = new URLSearchParams(location.search);
  for (const control of controls(form)) {
    const now = value(control);
    if (now === undefined || !control.validity.valid) continue;
    if (isDefault(control)) parameters.delete(control.name);
    else parameters.set(control.name, now);
  }
  replace(parameters);
}

/** Sets a parameter of the URL, or removes it. */
export function setParameter(name: string, to: string | undefined): void {
  const parameters = new URLSearchParams(location.search);
  if (to === undefined) parameters.delete(name);
  else parameters.set(name, to);
  replace(parameters);
}

function replace(parameters: URLSearchParams): void {
  const query = parameters.toString();
  history.replaceState(null, '', `${location.pathname}${query && `?${query}`}${location.hash}`);
}

/** Gives controls other defaults. Those that the URL does not name, because the visitor has not changed them, take theirs. */
export function setDefaults(form: HTMLFormElement, defaults: Record<string, string | number>): void {
  const parameters = new URLSearchParams(location.search);
  for (const [name, to] of Object.entries(defaults)) {
    const control = form.elements.namedItem(name) as HTMLInputElement;
    const before = control.value;
    control.defaultValue = String(to);
    control.value = parameters.has(name) ? before : String(to);
  }
  form.dispatchEvent(new Event('input'));
}

/** Limits a number to the bounds of its control; text that is not a number becomes the default. */
function correct(control: HTMLInputElement): void {
  if (control.type !== 'number' || control.validity.valid) return;
  const { min, max, step, defaultValue, valueAsNumber: n } = control;
  const whole = step === 'any' ? n : Math.round(n);
  control.value = Number.isNaN(n) ? defaultValue : String(Math.min(Number(max), Math.max(Number(min), whole)));
}

/** Reads the form from the URL, then updates the URL, the values beside sliders and out-of-bounds numbers on every change. */
export function bind(form: HTMLFormElement): void {
  const show = () => {
    for (const slider of form.querySelectorAll<HTMLInputElement>('input[type=range]')) {
      slider.parentElement!.querySelector('output')!.value = slider.value;
      const { min, max, valueAsNumber } = slider;
      slider.style.setProperty('--filled', `${((valueAsNumber - Number(min)) / (Number(max) - Number(min))) * 100}%`);
    }
  };
  readUrl(form);
  show();
  form.addEventListener('input', () => {
    show();
    writeUrl(form);
  });
  form.addEventListener('change', ({ target }) => {
    if (target instanceof HTMLInputElement) correct(target);
    writeUrl(form);
  });
}
