"use strict";
// Without this script the page shows the browser's own players. With it the versions of a clip share one position, so
// that a listener can switch between them in the middle of a word.

class Version {
  constructor(element, clip) {
    this.element = element;
    this.clip = clip;
    this.audio = element.querySelector("audio");
    this.seek = element.querySelector(".seek");
    this.button = element.querySelector(".play");
    this.playhead = element.querySelector(".playhead");
    this.heading = element.querySelector("h3");
    this.label = `${clip.name}, ${this.heading.textContent}`;
    this.seek.hidden = this.button.hidden = false;
    this.button.addEventListener("click", () => clip.toggle(this));
    this.seek.addEventListener("input", () => clip.moveTo(Number(this.seek.value)));
    this.audio.addEventListener("ended", () => clip.finish());
    // Headphone keys and the system's media panel can pause as well.
    this.audio.addEventListener("pause", () => this.show(clip.position));
    this.audio.addEventListener("play", () => this.show(clip.position));
  }

  rename(name) {
    this.label = `${this.clip.name}, ${name}`;
    this.heading.textContent = name;
    this.seek.setAttribute("aria-label", `Position in ${this.label}`);
    this.show(Number(this.seek.value));
  }

  show(position) {
    const playing = !this.audio.paused;
    this.seek.value = position;
    this.playhead.style.left = `${(100 * position) / this.seek.max}%`;
    this.button.setAttribute("aria-pressed", String(playing));
    this.button.setAttribute("aria-label", `${playing ? "Pause" : "Play"} ${this.label}`);
  }
}

class Clip {
  static latest = null;

  constructor(element) {
    this.element = element;
    this.name = element.querySelector("h2").firstChild.data.trim();
    this.position = 0;
    this.current = null;
    this.versions = [...element.querySelectorAll(".version")].map((version) => new Version(version, this));
  }

  toggle(version) {
    if (version === this.current && !version.audio.paused) this.pause();
    else this.play(version);
  }

  play(version) {
    if (Clip.latest) Clip.latest.pause();
    Clip.latest = this;
    this.current = version;
    this.element.classList.add("started");
    for (const each of this.versions) each.element.classList.toggle("on", each === version);
    version.audio.currentTime = this.position;
    version.audio.play().then(() => this.follow(), () => this.show());
  }

  pause() {
    if (!this.current) return;
    this.position = this.current.audio.currentTime;
    this.current.audio.pause();
    this.show();
  }

  moveTo(position) {
    this.position = position;
    if (this.current) this.current.audio.currentTime = position;
    this.element.classList.add("started");
    this.show();
  }

  finish() {
    this.position = 0;
    this.show();
  }

  follow() {
    if (Clip.latest !== this || this.current.audio.paused) return;
    this.position = this.current.audio.currentTime;
    this.show();
    requestAnimationFrame(() => this.follow());
  }

  show() {
    for (const version of this.versions) version.show(this.position);
  }
}

document.documentElement.classList.add("js");
const clips = [...document.querySelectorAll(".clip")].map((element) => new Clip(element));

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !/^[1-9]$/.test(event.key)) return;
  const clip = Clip.latest || clips[0];
  const version = clip && clip.versions[Number(event.key) - 1];
  if (version) clip.play(version);
});
