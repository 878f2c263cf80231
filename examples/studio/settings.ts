/** Settings live in the URL: a control that differs from its default is a parameter named as the control. */

type Control = HTMLInputElement | HTMLSelectElement;

const controls = (form: HTMLFormElement): Control[] =>
  [...form.elements].filter(
    (e): e is Control => (e instanceof HTMLInputElement || e instanceof HTMLSelectElement) && e.name !== '',
  );

/** The value of a control, as a parameter; undefined for a radio button that is not chosen. */
const value = (control: Control) =>
  control.type === 'radio' && !(control as HTMLInputElement).checked ? undefined : control.value;

function isDefault(control: Control): boolean {
  if (control instanceof HTMLSelectElement) {
    const chosen = [...control.options].find((o) => o.defaultSelected) ?? control.options[0];
    return control.value === chosen?.value;
  }
  return control.type === 'radio' ? control.defaultChecked : control.value === control.defaultValue;
}

/** Puts the URL's parameters into the form; what a control cannot hold is left at its default. */
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

/** Writes the form into the URL, which then opens the page as it is now; what is not valid (yet) stays as it was there. */
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

/** Sets one parameter, or takes it away. */
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

/** Brings a number within its bounds; what is none becomes the default. */
function correct(control: HTMLInputElement): void {
  if (control.type !== 'number' || control.validity.valid) return;
  const { min, max, step, defaultValue, valueAsNumber: n } = control;
  const whole = step === 'any' ? n : Math.round(n);
  control.value = Number.isNaN(n) ? defaultValue : String(Math.min(Number(max), Math.max(Number(min), whole)));
}

/** Keeps the URL and the numbers beside sliders in step with the form, and its numbers within their bounds. */
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
