// Draws an image of the chosen class in a worker. The model is in Vite's public folder (vite.config.ts).
import { AiM } from 'aim-js/worker';

const $ = <E extends HTMLElement>(id: string) => document.getElementById(id) as E;
const status = $('status');
const button = $<HTMLButtonElement>('draw');
const choice = $<HTMLSelectElement>('class');
const canvas = $<HTMLCanvasElement>('canvas');

try {
  const aim = await AiM.fromPretrained(new URL(`${import.meta.env.BASE_URL}emoji/`, location.href));
  choice.append(...(aim.classes ?? []).map((name, i) => new Option(name, `${i}`)));
  let seed = 0;
  button.onclick = async () => {
    button.disabled = true;
    const { images } = await aim.generate({ classes: [Number(choice.value)], seed: seed++ });
    const image = images[0]!;
    Object.assign(canvas, { width: image.width, height: image.height });
    canvas.getContext('2d')!.putImageData(image.toImageData(), 0, 0);
    status.textContent = `Seed ${image.seed} on ${aim.device}`;
    button.disabled = false;
  };
  button.disabled = false;
  status.textContent = `Ready on ${aim.device}`;
} catch (error) {
  status.textContent = (error as Error).message;
}
