"""What all tests share."""

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory):
    """Classifier and compiled programs are kept for all tests, in a cache of theirs; subprocesses inherit it.

    The workers of pytest-xdist share it: the folder of each is in one for all of them.
    """
    folder = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GAN_LABORATORY_CACHE", str(folder / "cache"))
        patch.delenv("MNIST_NPZ", raising=False)
        yield


FIRST = ("scripts", "notebooks", "sample", "normal_1d", "plot", "stacked_mnist", "cyclegan", "points", "mixture_2d")
LONG = {  # tests for `make test-all` alone -> the cases that `make test` runs, too; the quickest, or the commonest
    "test_a_notebook_runs_and_prints_what_it_shows": ("by_hand",),
    "test_killed_and_resumed_run_equals_an_uninterrupted_one_bit_for_bit": (
        "normal_1d",
        "digit_classifier",
        "numpy_gan",
    ),
    "test_killed_run_keeps_its_records_and_holds_no_step_twice_once_it_is_resumed": ("numpy_gan",),
    "test_200_live_steps_in_odd_chunks_equal_the_scripts_loop_in_every_array": ("stable",),
    "test_own_points_are_learned_and_saved_with_the_run": (),
    "test_a_penalty_that_is_on_changes_at_once": (),
    "test_a_run_of_many_seeds": (),
    "test_samples_of_every_seed_and_of_one": (),
    "test_numbers_have_the_unit_of_the_data": (),
    "test_a_file_of_few_numbers_works_and_says_that_its_floor_is_wide": (),
    "test_an_interrupted_process_keeps_its_programs_too": (),
    "test_a_rate_changes_at_once_while_a_loss_is_compiled": (),
    "test_samples_of_images": ("numpy_gan",),
    "test_the_program_of_the_readme_makes_the_samples_of_the_script": (
        "normal_1d",
        "mixture_2d",
        "mnist_dcgan",
        "numpy_gan",
    ),
    "test_distances_are_those_of_the_notebook": (
        "minimax-flags0-3.0969487-1.4210189-1.8452736",
        "wasserstein-flags3-1.8017932-1.2210666-0.71630089",
    ),
    "test_every_setting_changes_what_two_steps_make_of_the_game": ("numpy_gan",),
    "test_flags_lead_to_a_finite_result": ("--recipe classic",),
    "test_steps_may_grow_on_resuming": (),
    "test_figures_of_a_run_are_drawn_again": ("by_hand",),
    "test_a_script_works_from_any_folder_and_its_bad_input_is_one_line": ("numpy_gan",),
    "test_training_comes_back_to_where_it_started": (),
    "test_settings_of_a_link_that_come_during_the_first_compilation_are_played_and_shown": (),
    "test_asked_digits_are_drawn_after_training": (),
    "test_the_floors_of_files_are_what_perfect_samplers_get": ("laws3-normal-89-12",),
    "test_diverging_training_is_one_line_with_the_step": ("normal_1d", "numpy_gan"),
    "test_member_of_a_stack_equals_the_solo_run_of_its_seed": (
        "relativistic_paired-False-settings3",
        "wasserstein-False-settings2",
    ),
    "test_member_of_many_equals_the_solo_run_of_its_seed": (),
    "test_member_of_many_on_the_plane_equals_the_solo_run_of_its_seed": (),
    "test_seeds_in_several_blocks_equal_seeds_in_one": (),
    "test_scalars_are_the_numbers_of_the_log_and_of_the_result": ("numpy_gan",),
    "test_run_with_pairs_counts_modes_and_draws_in_colour": (),
    "test_damaged_classifier_is_trained_again_with_a_message": ("truncate", "flip_a_bit", "hostile"),
    "test_domains_may_hold_different_numbers_of_images": (),
    "test_targets_without_modes_have_no_coverage": (),
    "test_unrolled_game_runs_for_stacks_of_seeds": (),
    "test_reset_while_a_loss_is_compiled_begins_anew_with_that_loss": (),
    "test_own_colour_images_train_without_a_classifier": (),
    "test_restored_gans_draw_the_same_samples_without_the_data": (),
    "test_tensorflow_is_imported_without_keras_which_comes_when_it_is_used": (),
    "test_the_second_process_finds_the_program_of_the_first": (),
    "test_results_stand_side_by_side_with_their_floors": (),
    "test_numbers_over_seeds_have_a_chart_with_a_band": (),
    "test_fresh_process_writes_table_and_figure": (),
    "test_the_plane": (),
    "test_a_full_disk_is_one_line_that_says_so": ("numpy_gan",),
    "test_a_target_added_as_the_page_says_is_one_to_train_on": (),
    "test_five_narrow_peaks_are_learned": (),
    "test_an_interrupted_run_is_evaluated_for_its_figures": (),
    "test_the_histogram_shows_real_and_fake_numbers": (),
    "test_a_loss_added_as_the_page_says_trains": (),
    "test_a_picture_of_numbers_or_points": ("normal_1d-flags0",),
    "test_learning_rate_that_fails_is_seen_to_fail": (),
    "test_unrolling_a_d_with_a_dead_unit_stays_finite": (),
    "test_equal_medians_are_not_enough": (),
    "test_curves_are_those_of_the_logs_with_bands": (),
    "test_after_a_turn_that_catches_up_the_numbers_of_the_step_are_those_of_now": (),
}


@pytest.hookimpl(tryfirst=True)  # before the marks are looked at
def pytest_collection_modifyitems(items):
    """Mark the long tests. The longest files come first, so that two workers, each at a file, end together."""
    for item in items:
        name = getattr(item, "originalname", "")
        if name in LONG and item.name not in [f"{name}[{case}]" for case in LONG[name]]:
            item.add_marker(pytest.mark.long)
    names = [f"test_{name}" for name in FIRST]
    items.sort(key=lambda item: names.index(item.path.stem) if item.path.stem in names else len(names))
