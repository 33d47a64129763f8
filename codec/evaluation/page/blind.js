// The blind test: versions in random order under letters, a hidden copy of the original among them, a rating from
// 0 to 100 for each, and what each letter was only at the end (after ITU-R BS.1534, with fewer rules).

const RATING_STEP = 5;

class Trial {
  constructor(clip) {
    this.clip = clip;
    const [reference, ...others] = clip.versions;
    const copy = reference.element.cloneNode(true);
    reference.element.parentNode.append(copy);
    this.rated = shuffled([...others, new Version(copy, clip)]);
    this.names = new Map(this.rated.map((version) => [version, version.heading.textContent]));
    this.names.set(this.rated.find((version) => version.element === copy), "Hidden original");
    this.inputs = new Map();
    reference.rename("Reference");
    this.rated.forEach((version, index) => this.hide(version, String.fromCharCode(65 + index)));
    clip.versions = [reference, ...this.rated];
  }

  hide(version, letter) {
    version.rename(letter);
    version.element.classList.add("rated");
    version.element.parentNode.append(version.element);
    const label = document.createElement("label");
    const input = document.createElement("input");
    const output = document.createElement("output");
    Object.assign(input, { type: "range", min: 0, max: 100, step: 1, value: 50 });
    output.textContent = "not rated";
    input.addEventListener("input", () => {
      input.dataset.rated = "yes";
      output.textContent = input.value;
    });
    label.className = "rating";
    label.append(`Rating of ${letter}`, input, output);
    version.element.querySelector(".caption").append(label);
    this.inputs.set(version, input);
  }

  nudge(version, by) {
    const input = this.inputs.get(version);
    if (!input) return;
    input.value = Number(input.value) + by;
    input.dispatchEvent(new Event("input"));
  }

  get missing() {
    return this.rated.filter((version) => !this.inputs.get(version).dataset.rated).length;
  }

  reveal() {
    for (const version of this.rated) {
      version.rename(`${version.heading.textContent}: ${this.names.get(version)}`);
      this.inputs.get(version).disabled = true;
    }
  }
}

class BlindTest {
  constructor(clips) {
    this.clips = clips;
    this.trials = [];
    this.panel = document.querySelector(".test");
    [this.startButton, this.resultButton] = this.panel.querySelectorAll("button");
    this.status = this.panel.querySelector(".status");
    this.panel.hidden = false;
    this.startButton.addEventListener("click", () => this.start());
    this.resultButton.addEventListener("click", () => this.finish());
    document.addEventListener("keydown", (event) => this.press(event));
  }

  start() {
    document.body.classList.add("blind");
    if (Clip.latest) Clip.latest.pause();
    this.trials = this.clips.map((clip) => new Trial(clip));
    this.startButton.hidden = true;
    this.resultButton.hidden = false;
    this.status.textContent = "Rate every version against the reference: 100 for no difference, 0 for very annoying.";
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.trials.length) return;
    const clip = Clip.latest || this.clips[0];
    const at = this.clips.indexOf(clip);
    const step = { "+": RATING_STEP, "-": -RATING_STEP }[event.key];
    if (step) this.trials[at].nudge(clip.current, step);
    const next = this.clips[at + { n: 1, p: -1 }[event.key]];
    if (next) next.play(next.versions[0]);
  }

  finish() {
    const missing = this.trials.reduce((sum, trial) => sum + trial.missing, 0);
    if (missing) {
      this.status.textContent = `${missing} versions are not rated yet.`;
      return;
    }
    for (const trial of this.trials) trial.reveal();
    document.body.classList.remove("blind");
    this.resultButton.hidden = true;
    this.status.textContent = "";
    this.show();
  }

  show() {
    const ratings = new Map();
    const lines = ["clip,version,rating"];
    for (const trial of this.trials) {
      for (const [version, name] of trial.names) {
        const rating = Number(trial.inputs.get(version).value);
        ratings.set(name, [...(ratings.get(name) || []), rating]);
        lines.push([quoted(trial.clip.name), quoted(name), rating].join(","));
      }
    }
    const body = document.querySelector(".outcome tbody");
    const means = [...ratings].map(([name, all]) => [name, all.reduce((a, b) => a + b) / all.length, all]);
    for (const [name, mean, all] of means.sort((a, b) => b[1] - a[1])) {
      const row = body.insertRow();
      for (const text of [name, mean.toFixed(1), all.join(", ")]) row.insertCell().textContent = text;
    }
    document.querySelector(".outcome a").href = `data:text/csv;charset=utf-8,${encodeURIComponent(lines.join("\n"))}`;
    document.querySelector(".outcome").hidden = false;
  }
}

function shuffled(items) {
  const result = [...items];
  for (let last = result.length - 1; last > 0; last -= 1) {
    const other = Math.floor(Math.random() * (last + 1));
    [result[last], result[other]] = [result[other], result[last]];
  }
  return result;
}

function quoted(text) {
  return `"${text.replaceAll('"', '""')}"`;
}

new BlindTest(clips);
