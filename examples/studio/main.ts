/** The studio: a page that draws with AiM, trains it and shows how it is made. */
import { announce, byId, counted, messageOf, notify } from './dom.js';
import { dropped, kindOf, nameOf, type PathFile, pictures } from './files.js';
import { onModel, openFiles, startGenerate } from './generate.js';
import { inspect, showPictures, startInspect } from './inspect.js';
import { padPicture } from './pad.js';
import { openTab, showTab, startTabs } from './tabs.js';
import { showTokenizer, startTrain, suggest, take } from './train.js';
import { takesPictures } from './ways.js';

startTabs();
startTrain();
startInspect();
onModel(inspect);
onModel(({ backend }) => {
  suggest(backend);
  showTokenizer();
});
startGenerate();

/** Files can be dropped anywhere on the page. */
const target = byId('panels');
addEventListener('dragover', (event) => {
  event.preventDefault();
  target.classList.add('dropping');
});
addEventListener('dragleave', (event) => {
  if (event.relatedTarget === null) target.classList.remove('dropping');
});
addEventListener('drop', (event) => {
  event.preventDefault();
  target.classList.remove('dropping');
  if (event.dataTransfer) dropped(event.dataTransfer).then(use, (error) => notify(messageOf(error)));
});

/**
 * Does with dropped files what their kind suggests: opens a checkpoint (on the Train tab: continues its run), takes a folder of
 * pictures as data for training, and shows single pictures as tokens (on the pad of the Generate tab: continues the first). Other
 * files are refused.
 */
function use(files: PathFile[]): void {
  if (files.length === 0) return;
  notify('');
  switch (kindOf(files)) {
    case 'checkpoint':
      if (openTab() === 'train') take(files);
      else void openFiles(files);
      break;
    case 'data':
      showTab('train');
      take(files);
      break;
    case 'pictures':
      if (openTab() === 'generate' && takesPictures()) {
        void padPicture(pictures(files)[0]!);
        break;
      }
      showTab('inspect');
      void showPictures(pictures(files));
      break;
    default: {
      const what = files.length === 1 ? nameOf(files) : `${nameOf(files)} and ${counted(files.length - 1, 'other file')}`;
      const refusal =
        `The studio cannot use ${what}. Drop a checkpoint (a folder or .zip), a folder with one sub-folder of pictures per class, ` +
        'or a picture.';
      notify(refusal);
      announce(refusal);
    }
  }
}
